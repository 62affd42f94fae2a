"""Few groups and one kernel: the steps of mmengine's own constructor."""
import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.utils import digit_version
from torch import nn

from vicmae_mm.engine.optimizers import fused_constructor

PARAMWISE = dict(
    norm_decay_mult=0., bias_decay_mult=0., custom_keys={'last': dict(lr_mult=0.1)})


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict(dict(
        first=nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 8)),
        last=nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))))


def wrapper(model: nn.Module, paramwise_cfg: dict | None = PARAMWISE, **options):
    cfg = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5, **options.pop('adamw', {})))
    return build_optim_wrapper(model, dict(cfg, paramwise_cfg=paramwise_cfg, **options))


def trained(constructor: str) -> nn.Module:
    model = network().double()
    optim_wrapper = wrapper(model, constructor=constructor)
    for _ in range(5):
        out = model['last'](model['first'](torch.ones(2, 3, dtype=torch.float64)))
        optim_wrapper.update_params(out.square().sum())
    return model


def test_steps_are_mmengines():
    """fp64: Adam divides by the gradient's size, so that rounding decides where that is small."""
    ours, stock = (
        trained(name).state_dict()
        for name in ('vicmae_mm.FusedOptimWrapperConstructor', 'DefaultOptimWrapperConstructor'))
    for name in stock:
        torch.testing.assert_close(ours[name], stock[name], rtol=1e-9, atol=1e-9)


def test_settings_of_every_parameter_are_mmengines():
    model = network()

    def settings(constructor: str) -> dict:
        groups = wrapper(model, constructor=constructor).optimizer.param_groups
        return {id(parameter): (group['lr'], group['weight_decay'])
                for group in groups for parameter in group['params']}

    ours = settings('vicmae_mm.FusedOptimWrapperConstructor')
    assert ours == settings('DefaultOptimWrapperConstructor') and len(set(ours.values())) == 3


def test_equal_settings_share_a_group():
    groups = wrapper(
        network(), constructor='vicmae_mm.FusedOptimWrapperConstructor').optimizer.param_groups
    assert len(groups) == 3 and sum(len(group['params']) for group in groups) == 10


@pytest.mark.parametrize('paramwise_cfg', [PARAMWISE, None])
def test_fused_where_torch_can_unless_told_otherwise(paramwise_cfg, monkeypatch):

    def fused(**adamw) -> bool | None:
        optimizer = wrapper(network(), copy.deepcopy(paramwise_cfg), adamw=adamw,
                            constructor='vicmae_mm.FusedOptimWrapperConstructor').optimizer
        return optimizer.param_groups[0]['fused']

    if digit_version(torch.__version__) >= digit_version('2.4.0'):
        assert fused() is True
    assert fused(fused=False) is False
    assert not fused(foreach=True)
    monkeypatch.setattr(fused_constructor.torch, '__version__', '2.1.2')
    assert fused() is None


@pytest.mark.parametrize('kind', ['Rprop', 'Lamb'])  # torch's, and mmpretrain's
def test_optimizers_without_a_fused_form_are_left_alone(kind):
    optim_wrapper = build_optim_wrapper(network(), dict(
        constructor='vicmae_mm.FusedOptimWrapperConstructor',
        optimizer=dict(type=kind, lr=0.1)))
    assert len(optim_wrapper.optimizer.param_groups) == 1


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="type='AdamWW' is not a registered optimizer"):
        build_optim_wrapper(network(), dict(
            constructor='vicmae_mm.FusedOptimWrapperConstructor',
            optimizer=dict(type='AdamWW', lr=0.1)))
