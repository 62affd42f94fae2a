"""The libraries' own tools run our configs through ``custom_imports`` alone."""
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny_configs import write_mae, write_recognizer

# Several runs of one tool in one process; only the config imports vicmae_mm.
RUN = '''
import json, runpy, sys
assert 'vicmae_mm' not in sys.modules
for tool, *args in json.loads(sys.argv[1]):
    sys.argv = [tool, *args]
    runpy.run_path(tool, run_name='__main__')
    assert 'vicmae_mm' in sys.modules
'''


def run_tools(repo: Path, *commands: list) -> str:
    done = subprocess.run(
        [sys.executable, '-c', RUN, json.dumps(commands, default=str)], cwd='/',
        env=dict(os.environ, PYTHONPATH=str(repo)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def tool(package: str, name: str) -> Path:
    path = Path(pytest.importorskip(package).__file__).parent / '.mim/tools' / name
    if not path.exists():
        pytest.skip(f'{package} is installed without its tools')
    return path


def test_mmpretrain_trains_and_resumes(repo, tmp_path):
    train, config = tool('mmpretrain', 'train.py'), write_mae(tmp_path)
    work = ['--work-dir', tmp_path / 'work']
    log = run_tools(
        repo, [train, config, *work],
        [train, config, *work, '--resume', '--cfg-options', 'train_cfg.max_epochs=2'])
    assert 'Epoch(train) [1][2/2]' in log and 'resumed epoch: 1, iter: 2' in log
    assert 'Epoch(train) [2][2/2]' in log
    assert (tmp_path / 'work/epoch_2.pth').exists()


def test_mmaction_trains_resumes_and_tests(repo, tmp_path):
    train, test = tool('mmaction', 'train.py'), tool('mmaction', 'test.py')
    config, work = write_recognizer(tmp_path), ['--work-dir', tmp_path / 'work']
    log = run_tools(
        repo, [train, config, *work],
        [train, config, *work, '--resume', '--cfg-options', 'train_cfg.max_epochs=2'],
        [test, config, tmp_path / 'work/epoch_2.pth', *work, '--dump', tmp_path / 'out.pkl'])
    assert 'resumed epoch: 1, iter: 2' in log and 'Epoch(train) [2][2/2]' in log
    assert 'Epoch(test) [2/2]' in log and 'acc/top1' in log
    assert len(pickle.loads((tmp_path / 'out.pkl').read_bytes())) == 4
