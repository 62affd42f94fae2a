"""vicmae pretrain trains as tools/train.py, and is continued to the last bit."""
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPO
from tests.helpers.videos import make_video
from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY
from vicmae_mm.models import ViCMAE

OPTIONS = ['--model', 'toy', '--epochs', '2', '--batch-size', '4', '--workers', '0', '--set',
           'default_hooks.checkpoint.interval=1',
           'train_dataloader.dataset.decode_timeout=None']  # no processes, whose imports take long


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a tool as on the command line, in this process also where it becomes another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, 'execv', lambda python, words: run_tool(*words[1:]))

    def run_tool(script: str, *words: str) -> None:
        monkeypatch.setattr(sys, 'argv', [script, *words])
        runpy.run_path(script, run_name='__main__')

    before = [(number, signal.getsignal(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    hook = sys.unraisablehook
    yield lambda name, *words: run_tool(str(REPO / 'tools' / name), *words)
    sys.unraisablehook = hook
    for number, handler in before:
        signal.signal(number, handler)


def weights(folder: str) -> dict:
    """Of the last epoch."""
    return torch.load(Path(folder, 'epoch_2.pth'), weights_only=False)['state_dict']


@pytest.mark.skipif(not CAN_LOAD_SAFELY, reason='checkpoints are refused')
def test_the_same_weights_by_train_and_after_an_interrupt(run, tmp_path, monkeypatch, capfd):
    Path('clips').mkdir()
    for number in range(8):
        make_video(tmp_path / f'clips/{number}.mp4', num_frames=12 + 2 * number)
    run('pretrain.py', 'clips', '--out', 'whole', *OPTIONS)
    run('train.py', 'whole/pretrain.py', '--work-dir', 'trained')

    steps, loss = [], ViCMAE.loss

    def interrupted(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 4:  # the second step of the second epoch
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(ViCMAE, 'loss', interrupted)
    with pytest.raises(SystemExit) as end:
        run('pretrain.py', 'clips', '--out', 'stopped', *OPTIONS)
    assert end.value.code == 130 and not Path('stopped/epoch_2.pth').exists()
    monkeypatch.setattr(ViCMAE, 'loss', loss)
    run('pretrain.py', 'clips', '--out', 'stopped', *OPTIONS)
    assert '2 of 4 steps done' in capfd.readouterr().out
    expected = weights('whole')
    for folder in ('trained', 'stopped'):
        found = weights(folder)
        assert found.keys() == expected.keys()
        assert [key for key in found if not torch.equal(found[key], expected[key])] == []
