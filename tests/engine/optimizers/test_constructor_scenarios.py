"""Spread out again, our groups are mmengine's, whatever paramwise_cfg says; so are the refusals."""
import copy
from typing import Any

import pytest
import torch
from mmengine.optim import OPTIM_WRAPPER_CONSTRUCTORS, build_optim_wrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

OURS, STOCK = 'vicmae_mm.FusedOptimWrapperConstructor', 'DefaultOptimWrapperConstructor'
ADAMW = dict(type='AdamW', lr=0.01, betas=(0.8, 0.9), weight_decay=0.5)
EVERYTHING = dict(bias_lr_mult=2, bias_decay_mult=0.5, norm_decay_mult=0, dwconv_decay_mult=0.1,
                  dcn_offset_lr_mult=0.1, flat_decay_mult=0.3)
KEYS = {'scale': dict(lr_mult=10), 'inner': dict(lr_mult=0.1, decay_mult=0),
        'inner.norm': dict(lr_mult=0.01), 'nowhere': dict(lr_mult=0.0)}


class Block(nn.Module):
    """A depth-wise convolution, a norm and a plain parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(2, 2, 1, groups=2)
        self.norm = nn.GroupNorm(2, 2)
        self.scale = nn.Parameter(torch.ones(1))


class Network(nn.Module):
    """A parameter of every kind that mmengine tells apart."""

    def __init__(self, tied: bool = False, frozen: str = 'nothing') -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.stem = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2))
        self.inner = Block()
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))
        if tied:
            self.copy = nn.Sequential(self.head[1], nn.Linear(4, 1))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen) and frozen != 'everything')


class Wrapped(nn.Module):
    """As DistributedDataParallel: the model is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.module = Network()


@OPTIMIZERS.register_module(force=True)
class OtherFirstArgument(torch.optim.SGD):
    """An optimizer that names its parameters otherwise, as colossalai's do."""

    def __init__(self, model_params: Any, lr: float) -> None:
        super().__init__(model_params, lr)


SCENARIOS = dict(
    plain=(Network(), ADAMW, None),
    empty=(Network(), ADAMW, dict()),
    nothing_trained=(Network(frozen='everything'), ADAMW, dict()),
    everything=(Network(), ADAMW, EVERYTHING),
    frozen_stem=(Network(frozen='stem'), ADAMW, EVERYTHING),
    wrapped=(Wrapped(), ADAMW, EVERYTHING),
    keys=(Network(), ADAMW, dict(custom_keys=KEYS, norm_decay_mult=0.5)),
    keys_without_decay=(Network(), dict(type='SGD', lr=0.1, momentum=0.5),
                        dict(custom_keys=dict(scale=dict(lr_mult=10)))),
    lists=(Network(), ADAMW, dict(custom_keys={
        'inner': dict(betas=[0.9, 0.95]), 'head': dict(betas=[0.9, 0.95], eps=1e-6)})),
    any_setting=(Network(), dict(type='SGD', lr=0.1), dict(custom_keys={
        'inner': dict(momentum=0.5, nesterov=True), 'head.1': dict(note=dict(a=[1]))})),
    tied=(Network(tied=True), ADAMW, dict(EVERYTHING, bypass_duplicate=True)),
    tied_by_other_keys=(Network(tied=True), ADAMW, dict(
        custom_keys=dict(copy=dict(lr_mult=3)), bypass_duplicate=True)),
    tied_and_frozen=(Network(tied=True, frozen='head'), ADAMW,
                     dict(EVERYTHING, bypass_duplicate=True)),
    tied_without_options=(Network(tied=True), ADAMW, None),
    other_first_argument=(Network(), dict(type='OtherFirstArgument', lr=0.1),
                          dict(bias_lr_mult=2)),
)
REFUSED = dict(
    tied=(Network(tied=True), ADAMW, EVERYTHING),
    tied_by_keys=(Network(tied=True), ADAMW, dict(custom_keys=dict(head=dict(lr_mult=2)))),
    keys_are_no_dict=(Network(), ADAMW, dict(custom_keys=[0.1])),
    options_are_no_dict=(Network(), ADAMW, ['error']),
    no_decay_to_multiply=(Network(), dict(type='SGD', lr=0.1), dict(norm_decay_mult=0)),
    no_decay_for_a_key=(Network(), dict(type='SGD', lr=0.1),
                        dict(custom_keys=dict(inner=dict(decay_mult=0.5)))),
    unknown_setting=(Network(), dict(type='SGD', lr=0.1, unknown=1), None),
)


def build(constructor: str, model: nn.Module, optimizer: dict, paramwise: Any) -> Any:
    cfg = dict(type=constructor, paramwise_cfg=copy.deepcopy(paramwise),
               optim_wrapper_cfg=dict(optimizer=copy.deepcopy(optimizer)))
    return OPTIM_WRAPPER_CONSTRUCTORS.build(cfg)(model).optimizer


def spread_out(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[str, dict]]:
    """Name and settings of each parameter in the optimizer."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return sorted(
        ((names[parameter], {k: v for k, v in group.items() if k not in ('params', 'fused')})
         for group in optimizer.param_groups for parameter in group['params']),
        key=lambda item: item[0])


@pytest.mark.parametrize('scenario', SCENARIOS)
def test_settings_are_mmengines(scenario):
    model, *settings = SCENARIOS[scenario]
    ours, stock = (build(name, model, *settings) for name in (OURS, STOCK))
    assert spread_out(model, ours) == spread_out(model, stock) != []
    assert ours.defaults | dict(fused=None) == stock.defaults | dict(fused=None)
    distinct = [group for n, group in enumerate(stock.param_groups)
                if {**group, 'params': 0} not in [
                    {**other, 'params': 0} for other in stock.param_groups[:n]]]
    assert len(ours.param_groups) == len(distinct)


@pytest.mark.parametrize('scenario', REFUSED)
def test_refusals_are_mmengines(scenario):
    with pytest.raises(Exception) as stock:
        build(STOCK, *REFUSED[scenario])
    with pytest.raises(stock.type) as ours:
        build(OURS, *REFUSED[scenario])
    if scenario.startswith('tied'):
        assert 'some parameters appear in more than one parameter group' in str(stock.value)
        assert str(ours.value) == (
            'head.1.weight and copy.0.weight are one parameter, and some parameters appear in more '
            'than one parameter group: set optim_wrapper.paramwise_cfg.bypass_duplicate=True to '
            'step it once, with the settings of head.1.weight.')


@pytest.mark.parametrize('constructor', [OURS, STOCK])
def test_a_tied_weight_takes_one_step(constructor):
    model = nn.ModuleDict(dict(one=nn.Linear(1, 1, bias=False)))
    model['two'] = model['one']
    nn.init.ones_(model['one'].weight)
    wrapper = build_optim_wrapper(model, dict(
        constructor=constructor, optimizer=dict(type='SGD', lr=0.307),
        paramwise_cfg=dict(bias_lr_mult=1., bypass_duplicate=True)))
    wrapper.update_params(model['two'](torch.ones(1)).sum())
    assert model['one'].weight.item() == pytest.approx(1 - 0.307)


def test_the_config_is_left_alone():
    cfg = dict(constructor=OURS, optimizer=dict(ADAMW))
    build_optim_wrapper(Network(), cfg)
    assert cfg['optimizer'] == ADAMW
