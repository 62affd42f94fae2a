"""quickstart.sh and run_tests.sh: which environment they use, what they install, and only once.

The path of the checkout has characters that are special to a shell.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Replaces Python, pip, ruff, mypy and pytest. Records how it was called; a virtual environment that
# it creates contains a link to itself.
STUB = '''#!{python} -I
import os, pathlib, re, sys
here, args = pathlib.Path(sys.argv[0]), sys.argv[1:]
home = pathlib.Path(os.environ['STUB_HOME'])
with open(home / 'calls', 'a') as file:
    print(here.name, *(a for a in args if len(a) < 200), file=file)
if args[:2] == ['-m', 'venv']:
    os.makedirs(args[-1] + '/bin')
    pathlib.Path(args[-1], 'bin/python').symlink_to(here.resolve())
elif args[:3] == ['-m', 'pip', 'install']:
    (home / 'installed').touch()
    sys.exit('pip' in os.environ.get('FAIL', ''))
elif args[:1] == ['-c']:
    if 'version_info' in args[1]:  # run with the version that the stub is to have
        sys.version_info = tuple(map(int, os.environ.get('VERSION', '3.11').split('.')))
        exec(args[1])
    if 'sys.prefix' in args[1]:
        print(os.environ['VIRTUAL_ENV'])
    sys.exit("version('mmcv')" in args[1] and 'mmcv' not in os.environ.get('HAS', '')
             or 'cv2' in args[1] and 'cv2' in os.environ.get('FAIL', ''))
elif args[:1] == ['-']:
    sys.exit(not (home / 'installed').exists())
elif args == ['--version']:
    print('Python', os.environ.get('VERSION', '3.11'))
'''


AWKWARD = 'check  out$HOME`x`"\'*'


class Machine:
    """A checkout, and a PATH on which only the shell's own tools are real."""

    def __init__(self, folder: Path, repo: Path) -> None:
        self.folder, self.checkout = folder, folder / AWKWARD
        shutil.copytree(repo / 'tools', self.checkout / 'tools')
        shutil.copytree(repo / 'requirements', self.checkout / 'requirements')
        for name in ('setup.py', 'pyproject.toml'):
            shutil.copy(repo / name, self.checkout)
        self.bin = folder / 'bin'
        self.bin.mkdir()
        for tool in ('bash', 'cat', 'cksum', 'dirname', 'rm'):
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name in ('python', 'python3'):
            (self.bin / name).write_text(STUB.format(python=sys.executable))
            (self.bin / name).chmod(0o755)

    def run(self, script: str, *args: str, status: int = 0, **env: str) -> list[str]:
        """Run a script; returns the relevant calls of the stubs or, if it fails, its output."""
        calls = self.folder / 'calls'
        calls.write_text('')
        done = subprocess.run(
            ['bash', str(self.checkout / 'tools' / script), *args], cwd='/', text=True,
            env=dict(PATH=str(self.bin), STUB_HOME=str(self.folder), CDPATH='/', **env),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == status, done.stdout
        if status:
            return done.stdout.splitlines()
        made = ('-m venv', '-m pip install', 'python tools/', '-m pytest', '-m ruff', '-m mypy')
        return [line for line in calls.read_text().splitlines() if any(m in line for m in made)]


@pytest.fixture
def machine(tmp_path, repo) -> Machine:
    return Machine(tmp_path, repo)


def test_fresh_machine(machine):
    venv = machine.checkout / '.venv'
    first = machine.run('quickstart.sh', '--epochs', '1', '--work-dir=-a  $b *')
    assert first == [
        f'python3 -m venv --clear {venv}',
        'python -m pip install --disable-pip-version-check --constraint '
        f'{machine.checkout}/requirements/tested.txt --editable .[lite,quickstart]',
        'python tools/quickstart.py --epochs 1 --work-dir=-a  $b *']
    assert machine.run('quickstart.sh') == ['python tools/quickstart.py']  # nothing to install
    tests = machine.run('run_tests.sh', '-k', 'a b')
    assert '.[lite,tests]' in tests[0] and '--constraint' in tests[0]
    assert tests[1:3] == ['python -m ruff check .', 'python -m mypy']
    assert tests[3].startswith('python -m pytest ') and tests[3].endswith(' -k a b')
    # Something has changed that may need other packages: install again.
    (machine.checkout / 'setup.py').write_text('# changed')
    assert len(machine.run('quickstart.sh')) == 2
    # vicmae_mm was removed, or points at another checkout.
    (machine.folder / 'installed').unlink()
    assert len(machine.run('quickstart.sh')) == 2


@pytest.mark.parametrize('name', ['VIRTUAL_ENV', 'CONDA_PREFIX'])
def test_active_environment_keeps_its_versions(name, machine):
    env = {'VIRTUAL_ENV': str(machine.folder), name: str(machine.folder)}
    install, start = machine.run('quickstart.sh', **env)
    assert install.endswith('pip install --disable-pip-version-check --editable .[lite,quickstart]')
    assert start == 'python tools/quickstart.py'
    assert not (machine.checkout / '.venv').exists()
    assert len(machine.run('quickstart.sh', **env)) == 1


def test_full_mmcv_is_kept(machine):
    install, _ = machine.run('quickstart.sh', VIRTUAL_ENV=str(machine.folder), HAS='mmcv')
    assert install.endswith('--editable .[quickstart]')


def test_python_3_10_does_not_get_the_tested_versions(machine):
    calls = machine.run('quickstart.sh', VERSION='3.10')
    assert '--constraint' not in calls[1]


@pytest.mark.parametrize('version', ['3.9', '3.14'])
def test_wrong_python(version, machine):
    *_, message = machine.run('quickstart.sh', VERSION=version, status=1)
    assert message == ('error: Python 3.10 to 3.13 is needed, and none is on the PATH '
                       f'(Python {version})')
    *_, message = machine.run(
        'quickstart.sh', VERSION=version, VIRTUAL_ENV=str(machine.folder), status=1)
    assert message == (f'error: the active environment has Python {version}; '
                       'Python 3.10 to 3.13 is needed')


def test_failed_installation_is_repeated(machine):
    env = dict(VIRTUAL_ENV=str(machine.folder))
    assert 'could not install' in machine.run('run_tests.sh', status=1, FAIL='pip', **env)[-1]
    assert 'libGL' in machine.run('run_tests.sh', status=1, FAIL='cv2', **env)[-1]
    assert len(machine.run('run_tests.sh', **env)) == 4


@pytest.mark.parametrize('name', ['quickstart', 'run_tests'])
def test_help_installs_nothing(name, repo):
    done = subprocess.run(['bash', str(repo / f'tools/{name}.sh'), '--help'], text=True,
                          capture_output=True, check=True)
    assert f'bash tools/{name}.sh [' in done.stdout and '#' not in done.stdout
    assert not done.stderr


def test_ci_run_is_executable(repo):
    assert os.access(repo / '.ci/run', os.X_OK)
    assert 'bash tools/run_tests.sh' in (repo / '.ci/run').read_text()
