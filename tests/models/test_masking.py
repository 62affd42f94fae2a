"""Masks that do not depend on the number of processes, and patches cut out by index."""
from unittest.mock import patch

import pytest
import torch
from mmengine.utils import digit_version

from benchmarks.training_step import LiveBytes
from vicmae_mm.datasets import EpochSampler
from vicmae_mm.models import ViCMAEViT, masking

PAIRS = 12


def masks(world_size: int) -> dict:
    """The mask per (view, sample) of a global batch that is split across processes."""
    backbone = ViCMAEViT(
        arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8), img_size=32,
        patch_size=8)
    found = {}
    for rank in range(world_size):
        with (patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)),
              patch.object(masking, 'get_rank', return_value=rank),
              patch.object(masking, 'get_world_size', return_value=world_size)):
            samples = list(EpochSampler(range(PAIRS), seed=1, round_up=False))
            torch.manual_seed(3)  # as StepSeedHook does, on all ranks
            mask = backbone(torch.zeros(2 * len(samples), 3, 32, 32))[1]
        # the first frames of all pairs, then the second: as ViCMAE stacks them
        rows = [(view, int(sample)) for view in (0, 1) for sample in samples]
        found.update(zip(rows, map(tuple, mask.tolist()), strict=True))
    return found


@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_masks_do_not_depend_on_the_process_count(world_size):
    alone = masks(1)
    assert masks(world_size) == alone
    assert len(alone) == 2 * PAIRS and len(set(alone.values())) == 2 * PAIRS
    assert {sum(mask) for mask in alone.values()} == {12}


def test_without_further_dimensions():
    with (patch.object(masking, 'get_rank', return_value=1),
          patch.object(masking, 'get_world_size', return_value=2)):
        torch.manual_seed(0)
        rows = masking.rand_rows(3, device=torch.device('cpu'))
    torch.manual_seed(0)
    assert torch.equal(rows, torch.rand(6)[1::2])


@pytest.mark.parametrize('at_once', [1, 20, 2**24])
@pytest.mark.parametrize('world_size', [1, 3])
def test_blocks_continue_the_numbers(monkeypatch, at_once, world_size):
    """Also with blocks of fewer rows than there are processes."""
    monkeypatch.setattr(masking, 'AT_ONCE', at_once)
    monkeypatch.setattr(masking, 'get_world_size', lambda: world_size)
    torch.manual_seed(0)
    every = torch.rand(8 * world_size, 9)
    for rank in range(world_size):
        monkeypatch.setattr(masking, 'get_rank', lambda rank=rank: rank)
        torch.manual_seed(0)
        rows = masking.rand_rows(8, 9, device=torch.device('cpu'))
        assert torch.equal(rows, every[rank::world_size])


@pytest.mark.gpu
def test_on_a_gpu_blocks_do_not_depend_on_the_process_count(monkeypatch):
    monkeypatch.setattr(masking, 'AT_ONCE', 20)
    numbers = {}
    for world_size, rank in ((1, 0), (3, 0), (3, 1), (3, 2)):
        monkeypatch.setattr(masking, 'get_world_size', lambda world_size=world_size: world_size)
        monkeypatch.setattr(masking, 'get_rank', lambda rank=rank: rank)
        torch.manual_seed(0)
        rows = masking.rand_rows(24 // world_size, 9, device=torch.device('cuda'))
        numbers[world_size, rank] = rows
    for rank in range(3):
        assert torch.equal(numbers[3, rank], numbers[1, 0][rank::3])


@pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.4'),
                    reason='freed memory is not reported')
def test_a_process_does_not_hold_the_numbers_of_all(monkeypatch):
    monkeypatch.setattr(masking, 'AT_ONCE', 1000)
    monkeypatch.setattr(masking, 'get_world_size', lambda: 1000)
    with LiveBytes() as live:
        masking.rand_rows(50, 10, device=torch.device('cpu'))
    assert live.peak <= 4 * (2 * 50 * 10 + 1000)


def test_the_inverse_of_an_order_is_its_argsort():
    ids = torch.rand(5, 40).argsort(dim=1)
    assert torch.equal(masking.invert_order(ids), ids.argsort(dim=1))


def test_patches_are_numbered_row_by_row():
    images = torch.rand(2, 3, 6, 12)
    ids = torch.tensor([[7, 0, 2], [5, 5, 1]])
    got = masking.take_patches(images, ids, 3)
    assert got.shape == (2, 3, 3, 3, 3)
    for image, numbers, patches in zip(images, ids.tolist(), got, strict=True):
        for number, found in zip(numbers, patches, strict=True):
            row, column = divmod(number, 4)
            assert torch.equal(
                found, image[:, 3 * row:3 * row + 3, 3 * column:3 * column + 3])
