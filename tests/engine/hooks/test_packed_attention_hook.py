"""Packed attention by config: every layer, and the same losses where its kernels do not fit."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger

from tests.helpers.models import tiny_vicmae
from vicmae_mm.registry import HOOKS

pytest.importorskip('torch', minversion='2.4')
from vicmae_mm.models.layers.packed_attention import PackedAttention


def test_encoder_and_decoder_are_turned():
    model = tiny_vicmae()
    frames = [torch.randn(4, 3, 32, 32) for _ in range(2)]
    torch.manual_seed(0)
    want = model.loss(frames)
    HOOKS.build(dict(type='vicmae_mm.PackedAttentionHook')).before_train(
        SimpleNamespace(model=model, logger=MMLogger.get_instance('test')))
    turned = [module for module in model.modules() if isinstance(module, PackedAttention)]
    assert len(turned) == 2 + 1
    torch.manual_seed(0)
    got = model.loss(frames)
    assert all(torch.equal(got[name], want[name]) for name in want)
