"""Compiling by config: the same losses, one graph each for encoder and decoder."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from tests.helpers.models import tiny_vicmae
from vicmae_mm.engine.hooks import CompileHook
from vicmae_mm.registry import HOOKS


def losses(model: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    frames = torch.randn(4, 3, 32, 32)
    return model.loss([frames, frames.flip(-1)])


@pytest.mark.parametrize('overrides, graphs', [
    ({}, 2),
    (dict(contrast_head=None, pooling=None, projector=None), 2),
    (dict(decoder=None, head=None), 1),
])
def test_losses_stay_and_names_too(overrides, graphs):
    model = tiny_vicmae(**overrides)
    want, keys = losses(model), list(model.state_dict())
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    runner = SimpleNamespace(model=model, logger=MMLogger.get_instance('test'))
    HOOKS.build(dict(type='vicmae_mm.CompileHook', backend='eager')).before_train(runner)
    got = losses(model)
    losses(model)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == graphs
    assert list(model.state_dict()) == keys
    for name in want:
        torch.testing.assert_close(got[name], want[name])


def test_other_backbones_are_compiled_too():
    model = tiny_vicmae(
        backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18, norm_eval=True),
        decoder=None, head=None, projector=None,
        pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    CompileHook(backend='eager').before_train(
        SimpleNamespace(model=model, logger=MMLogger.get_instance('test')))
    losses(model)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] >= 1
