"""Copying a checkpoint, and writing it into a file."""
import copy
import io
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from vicmae_mm.checkpoints import saving
from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.checkpoints.saving import CheckpointWriteError, PinnedCopies, write_checkpoint


def content() -> dict[str, Any]:
    """Tensors that share memory, and everything else that a checkpoint has."""
    table = torch.randn(20, 30)
    return dict(state=dict(table=table, view=table[3:5], turned=table.t()), step=torch.tensor(3.),
                nested=[(1, 'a'), {'b': [table]}], half=torch.zeros(4, dtype=torch.bfloat16))


def test_the_file_of_a_copy_is_that_of_the_original_to_the_byte(tmp_path):
    original, stock = content(), io.BytesIO()
    torch.save(original, stock)
    with PinnedCopies():
        copied = copy.deepcopy(original)
    for tensor in (original['state']['table'], original['step'], original['half']):
        tensor.fill_(7)  # by later steps
    write_checkpoint(copied, tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').read_bytes() == stock.getvalue()
    assert find_damage(tmp_path / 'a.pth') is None


class Gpu(Tensor):
    """A tensor that says that it is on a GPU."""

    is_cuda = True
    __torch_function__ = torch._C._disabled_torch_function_impl


def test_tensors_of_a_gpu_are_copied_once(monkeypatch):
    pinned = []
    empty_like = torch.empty_like

    def count(tensor: Tensor, device: str, pin_memory: bool) -> Tensor:
        pinned.append((device, pin_memory))
        return empty_like(tensor.as_subclass(Tensor))

    monkeypatch.setattr(torch, 'empty_like', count)
    weight = torch.randn(3, 4).t().as_subclass(Gpu)
    with PinnedCopies():
        collected = dict(weight=weight.cpu(), same=weight.cpu(), live=weight)
        taken = copy.deepcopy(collected)
    assert pinned == [('cpu', True)] * 3
    assert taken['weight'] is collected['weight'] and taken['live'] is not weight
    weight.zero_()
    for tensor in taken.values():
        assert type(tensor) is Tensor and tensor.stride() == (1, 4) and tensor.any()


def test_a_bad_path_is_named_with_the_size(tmp_path):
    (tmp_path / 'file').touch()
    size = io.BytesIO()
    torch.save(content(), size)
    with pytest.raises(CheckpointWriteError, match=(
            rf'file/a\.pth could not be written \(.*\): it needs {size.tell():,} bytes, ')):
        write_checkpoint(content(), tmp_path / 'file' / 'a.pth')


def test_a_folder_below_a_file_is_named_too(tmp_path):
    (tmp_path / 'file').touch()
    path = tmp_path / 'file' / 'folder' / 'epoch_1.pth'
    with pytest.raises(CheckpointWriteError, match=(
            rf'{path} could not be written \(.*\): it needs [\d,]+ bytes\.$')):
        write_checkpoint(dict(state_dict={}), path)


@pytest.mark.parametrize('limit', [0, 100, 2000])
def test_an_error_at_any_place_keeps_its_reason(limit, tmp_path, monkeypatch):
    """Torch itself would raise 'unexpected pos 2048 vs 1984', or nothing at all."""

    class Full:

        def write(self, data: Any) -> None:
            self.left = getattr(self, 'left', limit) - len(data)
            if self.left < 0:
                raise OSError(28, os.strerror(28))

    stream = saving._Stream()
    stream.file = Full()
    size = io.BytesIO()
    torch.save(content(), size)
    torch.save(content(), stream)
    assert stream.error.errno == 28 and stream.size == size.tell()
