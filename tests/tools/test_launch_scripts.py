"""The shell scripts that start several processes: arguments and messages."""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Replaces python and srun: prints its arguments, or says whether there is torch.
STUB = '''#!{python}
import os, sys
if '-c' in sys.argv:
    sys.exit('NO_TORCH' in os.environ)
print('\\n'.join(sys.argv[1:]))
print('PATH', os.environ['PYTHONPATH'])
'''
AWKWARD_FOLDER = 'check  out$HOME`x`"\'*'
AWKWARD = 'a  b$HOME`x`"\'*.py'
OPTIONS = ['--resume', 'x y$z', '--work-dir=-a  "*', '--cfg-options', 'a=[1, 2]', "b='$c `d`'"]


@pytest.fixture
def checkout(repo, tmp_path) -> Path:
    """A copy of the scripts in a folder whose name has characters that are special to a shell."""
    shutil.copytree(repo / 'tools', tmp_path / AWKWARD_FOLDER / 'tools')
    return tmp_path / AWKWARD_FOLDER


@pytest.fixture
def script(checkout, tmp_path):
    """Runs a script in a folder with a config; python and srun are stubs."""
    for name in ('python', 'srun'):
        stub = tmp_path / 'bin' / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(STUB.format(python=sys.executable))
        stub.chmod(0o755)
    (tmp_path / AWKWARD).touch()
    (tmp_path / 'last.pth').touch()

    def run(name: str, *args: str, status: int = 0, **env: str) -> str:
        keep = {k: os.environ[k] for k in ('HOME', 'LD_LIBRARY_PATH') if k in os.environ}
        done = subprocess.run(
            ['bash', f'{AWKWARD_FOLDER}/tools/{name}', *args], cwd=tmp_path, text=True,
            env=dict(keep, CDPATH=str(tmp_path), PATH=f'{tmp_path}/bin:{os.environ["PATH"]}',
                     **env),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == status, done.stdout
        return done.stdout

    return run


def test_dist_train_is_train_with_devices(script, checkout):
    out = script('dist_train.sh', AWKWARD, '4', *OPTIONS)
    assert out.splitlines() == [
        f'{checkout}/tools/train.py', AWKWARD, *OPTIONS, '--devices', '4', f'PATH {checkout}']


def test_dist_test_is_test_with_devices(script, checkout):
    out = script('dist_test.sh', AWKWARD, 'last.pth', '1', *OPTIONS)
    assert out.splitlines()[:-1] == [
        f'{checkout}/tools/test.py', AWKWARD, 'last.pth', *OPTIONS, '--devices', '1']


def test_an_environment_without_torch_is_named(script):
    assert script('dist_train.sh', AWKWARD, '2', status=1, NO_TORCH='1') == (
        "error: 'python' has no torch: activate the environment that vicmae_mm is installed in\n")


@pytest.mark.parametrize('name, args', [
    ('dist_train.sh', []), ('dist_train.sh', ['a.py']), ('dist_train.sh', ['--hlep', '2']),
    ('dist_test.sh', ['a.py', '2']), ('slurm_train.sh', ['gpu', 'job']),
    ('slurm_train.sh', ['-a', 'b', 'c'])])
def test_usage(name, args, script):
    out = script(name, *args, status=2)
    assert out.startswith(f'Usage: bash tools/{name} ')


@pytest.mark.parametrize('name', ['dist_train', 'dist_test', 'slurm_train'])
@pytest.mark.parametrize('word', ['--help', '-h'])
def test_help(name, word, script):
    assert script(f'{name}.sh', word, '2').startswith(f'Usage: bash tools/{name}.sh ')


def test_the_run_knows_the_command_to_repeat(script, tmp_path):
    stub = tmp_path / 'bin' / 'srun'
    stub.write_text(stub.read_text().replace(
        "print('PATH'", "print(os.environ['VICMAE_COMMAND'])\nprint('PATH'"))
    out = script('slurm_train.sh', 'p', 'j', AWKWARD, *OPTIONS)
    words = shlex.split(out.splitlines()[-2])
    assert words == ['bash', f'{AWKWARD_FOLDER}/tools/slurm_train.sh', 'p', 'j', 'CONFIG']


@pytest.mark.parametrize('name', ['a', 'b', 'configs/more/b.py'])
def test_a_shipped_config(name, script, checkout):
    for path in ('a', 'more/b', 'more/bb'):
        (checkout / f'configs/{path}.py').parent.mkdir(exist_ok=True, parents=True)
        (checkout / f'configs/{path}.py').touch()
    assert f'{checkout}/tools/train.py\n{name}\n--launcher' in script(
        'slurm_train.sh', 'p', 'j', name)
    assert script('slurm_train.sh', 'p', 'j', f'{name}x', status=1) == (
        f'error: {name}x does not exist, and no shipped config has this name\n')


def test_missing_config(script):
    assert 'error: no.py does not exist' in script('slurm_train.sh', 'p', 'j', 'no.py', status=1)


def test_slurm(script, checkout):
    out = script('slurm_train.sh', 'gpu', 'my $job', AWKWARD, *OPTIONS,
                 GPUS='4', SRUN_ARGS='--quotatype auto', MASTER_PORT='1')
    assert out.splitlines()[:-1] == [
        '--partition', 'gpu', '--job-name', 'my $job', '--gres', 'gpu:4', '--ntasks', '4',
        '--ntasks-per-node', '4', '--cpus-per-task', '5', '--kill-on-bad-exit=1',
        '--quotatype', 'auto', 'python', '-u', f'{checkout}/tools/train.py', AWKWARD,
        *OPTIONS, '--launcher', 'slurm']


@pytest.mark.parametrize('name', ['GPUS', 'GPUS_PER_NODE'])
def test_slurm_counts_are_not_evaluated(name, script, tmp_path):
    out = script('slurm_train.sh', 'gpu', 'job', AWKWARD, status=1, **{name: 'a[$(touch ran)]'})
    assert "must be positive integers, not 'a[$(touch ran)]'" in out
    assert not (tmp_path / 'ran').exists()
