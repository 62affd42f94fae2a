"""Floating-point operations of a training step."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from .training_step import TrainingStep, without_hooks

PAIRS = 2  # as few as contrast and BatchNorm can do with


def count_flops(cfg: Config) -> float:
    """Count the matrix products of a forward and backward pass, for one pair.

    A multiplication with an addition is two operations. What is computed twice to save memory
    counts once, so that a share of the device's peak speaks of useful work. The similarities of
    the contrast, whose number grows with the square of the batch, are counted for 2 pairs.

    Args:
        cfg: See :class:`TrainingStep`.
    """
    cfg = without_hooks(cfg)
    cfg.activation_checkpointing = None
    if 'decoder_chunks' in cfg.model:
        cfg.model.decoder_chunks = 1
    step = TrainingStep(cfg, PAIRS, torch.device('cpu'))
    with _attention_as_products(), FlopCounterMode(display=False) as counter:
        step.forward_backward()
    return counter.get_total_flops() / PAIRS


@contextmanager
def _attention_as_products() -> Iterator[None]:
    """On a CPU, the form of attention that the counter knows, and which computes nothing twice."""
    # torch.nn.attention.sdpa_kernel would do the same from torch 2.3 on
    before = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_flash_sdp(before)
