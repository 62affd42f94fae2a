"""Operations and bytes are counted as worked out by hand."""
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contrast import ContrastPart, OneOfMany, count_contrast
from benchmarks.step_costs import count_peak_bytes
from benchmarks.training_step import (
    LiveBytes,
    TrainingStep,
    count_flops,
    mmpretrain_mae,
    without_contrast,
)
from tests.benchmarks.step_configs import tiny_step_config
from tests.helpers.models import IMG_SIZE, PATCH, WIDTH
from vicmae_mm.models import InfoNCEHead

CPU = torch.device('cpu')
PATCHES, VISIBLE, PIXELS = (IMG_SIZE // PATCH)**2, 4, 3 * PATCH**2
DECODER_WIDTH = 16


def block_flops(tokens: int, width: int, hidden: int, used: int | None = None) -> int:
    """Forward: qkv and output projection, two products of attention, two layers of the MLP."""
    mlp = 2 * (used or tokens) * width * 2 * hidden
    return 2 * tokens * width * 4 * width + 4 * tokens**2 * width + mlp


def frame_flops(embedded: int, predicted: int) -> int:
    """Forward and backward of a frame: as much again for the gradients of inputs and weights."""
    encoder = 2 * block_flops(1 + VISIBLE, WIDTH, 64)
    decoder = (2 * (1 + VISIBLE) * WIDTH * DECODER_WIDTH
               + block_flops(1 + PATCHES, DECODER_WIDTH, 4 * DECODER_WIDTH, predicted)
               + 2 * predicted * DECODER_WIDTH * PIXELS)
    # no gradient of the pixels is needed
    return 3 * (encoder + decoder) + 2 * (2 * embedded * PIXELS * WIDTH)


def test_operations_of_a_step():
    """Ours embeds what is visible and predicts what is hidden; mmpretrain's does so with all."""
    cfg = tiny_step_config()
    ours = frame_flops(embedded=VISIBLE, predicted=PATCHES - VISIBLE)
    stock = frame_flops(embedded=PATCHES, predicted=PATCHES + 1)
    assert count_flops(without_contrast(cfg)) == 2 * ours
    assert count_flops(mmpretrain_mae(cfg)) == 2 * stock


def test_what_is_computed_twice_counts_once():
    cfg = tiny_step_config()
    saving = tiny_step_config(decoder_chunks=2)
    saving.activation_checkpointing = ['backbone.layers.0', 'neck.decoder_blocks.0']
    saving.custom_hooks = [dict(type='vicmae_mm.CompileHook')]
    assert count_flops(saving) == count_flops(cfg)


def test_bytes_at_a_time():
    before = torch.ones(1000)
    with LiveBytes() as live:
        first = before + 1
        second = first + 1
        second.view(10, 100).add_(1)
        before.mul_(2)
        assert live.peak == 8000
        del first
        third = second + 1
        assert live.peak == 8000
        fourth = third + 1
    assert live.peak == 12000
    assert fourth[0] == 6  # and computed what it should


def test_a_torch_that_counts_wrong(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.1.2+cu121')
    with pytest.raises(ImportError, match=r'2\.1\.2\+cu121 .* needs torch 2\.4'):
        LiveBytes()


def test_fake_tensors_take_as_many_bytes():
    step = TrainingStep(tiny_step_config(), 2, CPU)
    with LiveBytes() as live:
        step.set_batch_size(8)
        step.forward_backward()
    assert count_peak_bytes(tiny_step_config(), 8) == live.peak


def test_checkpointing_saves_bytes():
    saving = tiny_step_config(decoder_chunks=4)
    saving.activation_checkpointing = ['backbone.layers.0', 'backbone.layers.1']
    assert count_peak_bytes(saving, 64) < 0.7 * count_peak_bytes(tiny_step_config(), 64)


def test_operations_of_the_contrast():
    """Each of two views with both views of all, and the monitors."""
    pairs, processes, width = 8, 4, 2 * WIDTH
    count = count_contrast(tiny_step_config(), pairs, processes)
    layers = WIDTH * width + 2 * width**2
    similarities = 3 * 4 * 2 * pairs * (processes * pairs) * width
    every = processes * pairs
    accuracy, rank = 2 * pairs * every * width, 2 * (2 * every) * width**2
    assert count.projector == 3 * 2 * 2 * pairs * layers
    assert count.similarities == similarities + accuracy + rank
    assert count.width == width


def test_operations_of_the_contrast_are_those_of_real_tensors():
    part = ContrastPart(tiny_step_config(), 8, 4, CPU)
    with FlopCounterMode(display=False) as counter:
        part()
    count = count_contrast(tiny_step_config(), 8, 4)
    assert counter.get_total_flops() == count.projector + count.similarities


def test_one_of_many_has_all_as_candidates():
    """A process's loss with what the others drew is its part of the whole batch's loss."""
    online, target = torch.randn(2, 2, 16)
    head = OneOfMany(3, InfoNCEHead())
    loss = head.loss(online, target)
    assert head._every is not None and head._every.shape == (6, 2, 16)
    assert torch.equal(head._every[:2, 0], torch.nn.functional.normalize(online, dim=1))
    everything = torch.cat(head._every.unbind(dim=1))
    similarity = (everything @ everything.T / 0.1).fill_diagonal_(-torch.inf)
    pair = torch.arange(12).roll(6)
    each = torch.nn.functional.cross_entropy(similarity, pair, reduction='none')
    torch.testing.assert_close(loss, each[[0, 1, 6, 7]].mean())
