"""Floating-point operations of a training step."""
import torch
from mmengine.config import Config
from torch.nn.attention import SDPBackend, sdpa_kernel
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
    # Only this one consists of products the counter knows on a CPU. Its backward pass computes
    # nothing twice, which that of flash attention does.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step.forward_backward()
    return counter.get_total_flops() / PAIRS
