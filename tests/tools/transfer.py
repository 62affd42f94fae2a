"""What the tests of linear_transfer.py and knn.py share."""
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.helpers.models import tiny_config, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A work dir with a dumped config and a checkpoint."""
    folder = tmp_path / 'run'
    folder.mkdir()
    Config(dict(model=tiny_config(data_preprocessor=PREPROCESSOR),
                default_scope='mmpretrain')).dump(folder / 'tiny.py')
    state = tiny_vicmae(data_preprocessor=PREPROCESSOR).state_dict()
    torch.save(dict(state_dict=state), folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


@pytest.fixture
def any_checksum(monkeypatch) -> None:
    """CIFAR files of other content than the published ones."""
    from mmpretrain.datasets import CIFAR10, CIFAR100
    for kind in (CIFAR10, CIFAR100):
        for files in ('train_list', 'test_list'):
            monkeypatch.setattr(kind, files, [[name, None] for name, _ in getattr(kind, files)])


@pytest.fixture
def tool(repo, tmp_path, monkeypatch):
    """Call a tool in a folder of its own, without workers."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *args: str | Path) -> None:
        script = repo / 'tools' / name
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args), '--workers', '0'])
        runpy.run_path(str(script), run_name='__main__')

    return call
