"""Tensors with NaN or infinity are found by name, wherever they are in a checkpoint."""
import math

import pytest
import torch
from torch import Tensor, nn

from vicmae_mm.checkpoints.fit import (
    infinite_buffers,
    not_finite,
    not_finite_in_training_state,
)


def holding(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    tensor = torch.zeros(3, 5)
    tensor[1, 2] = value
    return tensor.to(dtype)  # torch 2.1 sets no single value of 8 bits


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_every_value_of_every_kind(value, dtype):
    assert not_finite(dict(a=holding(value, dtype), b=holding(1., dtype))) == ['a']


def test_names_of_nested_tensors():
    state = dict(groups=[dict(lr=math.inf, params=[0])], state={3: dict(
        step=torch.tensor(1), exp_avg=holding(math.nan)), 4: (torch.empty(0), holding(math.inf))})
    assert not_finite(state) == ['state.3.exp_avg', 'state.4.1']


def test_what_is_meant_and_what_is_only_logged():
    model = nn.Linear(1, 1)
    for name, value in dict(mask=-math.inf, mean=math.nan, count=1).items():
        model.register_buffer(name, torch.tensor([0, value]))
    assert infinite_buffers(model) == ['mask']
    state = model.state_dict()
    checkpoint = dict(
        state_dict=state, ema_state_dict={f'module.{key}': value for key, value in state.items()},
        message_hub=dict(scalar=holding(math.nan)), meta=dict(epoch=1))
    assert not_finite_in_training_state(checkpoint, ['mask']) == [
        'state_dict.mean', 'ema_state_dict.module.mean']
