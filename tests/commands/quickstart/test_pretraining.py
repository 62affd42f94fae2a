"""What is shown while the quickstart trains."""
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import REPO
from vicmae_mm.commands.quickstart.pretraining import ProgressHook, build_runner
from vicmae_mm.utils.errors import InputError


def test_note_has_the_epoch_and_the_losses_that_there_are():
    shown = []
    progress = SimpleNamespace(update=lambda *state: shown.append(state))
    runner = SimpleNamespace(iter=4, epoch=1, max_epochs=60)
    hook = ProgressHook(progress)
    losses = dict(loss=torch.tensor(2.), recon=torch.tensor(0.5), contrast=torch.tensor(1.5))
    hook.after_train_iter(runner, 0, outputs=losses)
    hook.after_train_iter(runner, 0)
    assert shown == [(5, 'epoch 2/60  recon 0.500  contrast 1.500'), (5, 'epoch 2/60')]


def test_fewer_clips_than_a_batch(tmp_path):
    with pytest.raises(InputError, match='12 clips do not fill a batch'):
        build_runner(REPO / 'configs/quickstart/vicmae.py', tmp_path, 12, 0)
