"""The shell scripts that start several processes: arguments, messages, and one real start."""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny_configs import write_mae

# Replaces python and srun: prints the number of GPUs, otherwise its arguments.
STUB = '''#!{python}
import os, sys
if '-c' in sys.argv:
    print(os.environ['GPUS_HERE'] if 'torch' in sys.argv[2] else 8)
else:
    print('\\n'.join(sys.argv[1:]))
    print('OMP', os.environ.get('OMP_NUM_THREADS'), 'PATH', os.environ['PYTHONPATH'])
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

    def run(name: str, *args: str, status: int = 0, gpus: int = 8, **env: str) -> str:
        keep = {k: os.environ[k] for k in ('HOME', 'LD_LIBRARY_PATH') if k in os.environ}
        done = subprocess.run(
            ['bash', f'{AWKWARD_FOLDER}/tools/{name}', *args], cwd=tmp_path, text=True,
            env=dict(keep, CDPATH=str(tmp_path), PATH=f'{tmp_path}/bin:{os.environ["PATH"]}',
                     GPUS_HERE=str(gpus), **env),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == status, done.stdout
        return done.stdout

    return run


def test_dist_train_starts_torchrun(script, checkout):
    out = script('dist_train.sh', AWKWARD, '4', *OPTIONS)
    assert out.splitlines() == [
        f'{checkout}/tools/_torchrun.py', '--standalone', '--nproc-per-node', '4',
        f'{checkout}/tools/train.py', AWKWARD, *OPTIONS,
        '--launcher', 'pytorch', f'OMP 2 PATH {checkout}']


def test_dist_test_starts_torchrun(script, checkout):
    out = script('dist_test.sh', AWKWARD, 'last.pth', '1', *OPTIONS)
    assert out.splitlines()[4:-1] == [
        f'{checkout}/tools/test.py', AWKWARD, 'last.pth', *OPTIONS, '--launcher', 'pytorch']
    assert 'none.pth does not exist' in script('dist_test.sh', AWKWARD, 'none.pth', '1', status=1)
    script('dist_test.sh', AWKWARD, 'https://example.invalid/a.pth', '1')


def test_several_machines_meet_at_the_given_address(script):
    out = script('dist_train.sh', AWKWARD, '8', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1')
    assert out.splitlines()[1:9] == [
        '--nnodes', '2', '--node-rank', '1', '--master-addr', '10.0.0.1', '--master-port', '29500']
    assert '--master-port\n1234\n' in script('dist_train.sh', AWKWARD, '8', PORT='1234')
    assert 'needs MASTER_ADDR' in script('dist_train.sh', AWKWARD, '8', status=1, NNODES='2')


@pytest.mark.parametrize('processes, threads', [('1', 8), ('3', 2), ('16', 1)])
def test_threads_share_the_cores(processes, threads, script):
    out = script('dist_train.sh', AWKWARD, processes, gpus=0)
    assert f'OMP {threads} ' in out
    assert 'OMP 7 ' in script('dist_train.sh', AWKWARD, processes, gpus=0, OMP_NUM_THREADS='7')


def test_gloo_is_announced_without_a_gpu(script):
    assert 'No GPU: running 2 processes on the CPU' in script('dist_train.sh', AWKWARD, '2', gpus=0)
    assert 'No GPU' not in script('dist_train.sh', AWKWARD, '2', gpus=2)


def test_more_processes_than_gpus(script):
    out = script('dist_train.sh', AWKWARD, '2', gpus=1, status=1)
    assert 'there are 1 GPUs' in out and 'CUDA_VISIBLE_DEVICES=' in out


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
    stub = tmp_path / 'bin' / 'python'
    stub.write_text(stub.read_text().replace(
        "print('OMP'", "print(os.environ['VICMAE_COMMAND'])\n    print('OMP'"))
    out = script('dist_train.sh', AWKWARD, '4', *OPTIONS)
    words = shlex.split(out.splitlines()[-2])
    assert words == ['bash', f'{AWKWARD_FOLDER}/tools/dist_train.sh', 'CONFIG', '4']


@pytest.mark.parametrize('count', ['two', '0', '-1', '1.5', '', '2; echo'])
def test_number_of_processes(count, script):
    out = script('dist_train.sh', AWKWARD, count, status=1)
    assert out == f"error: the number of processes must be a positive integer, not '{count}'\n"


def test_missing_config(script):
    for name, args in (('dist_train.sh', ['no.py', '2']), ('slurm_train.sh', ['p', 'j', 'no.py'])):
        assert script(name, *args, status=1) == 'error: no.py does not exist\n'


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


def test_an_error_in_one_process_ends_all(repo, tmp_path):
    """tests/recovery/test_rank_death.py has a run without one."""
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', str(repo / 'tools/dist_train.sh'), str(write_mae(tmp_path)), '2', '--resume',
         'none.pth'], text=True, timeout=180,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='', PATH=path), cwd='/',
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0
    assert 'error (rank 0): There is no checkpoint none.pth' in done.stdout
