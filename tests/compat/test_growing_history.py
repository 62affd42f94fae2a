"""HistoryBuffer as patched: mmengine's values and types, without copying all of them each time."""
import copy
import io
import random
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from vicmae_mm.compat import growing_history
from vicmae_mm.engine.late_values import StepNumbers


class Stock:
    """What mmengine 0.10 does."""

    def __init__(self, max_length: int) -> None:
        self.data = [np.array([]), np.array([])]
        self.max_length = max_length

    def update(self, *values: Any) -> None:
        """Append to both arrays."""
        self.data = [np.append(array, value)[-self.max_length:]
                     for array, value in zip(self.data, values, strict=True)]


@pytest.mark.parametrize('max_length', [1, 3, 17, 1000])
@pytest.mark.parametrize('first', [[], [3], [2.5]])
def test_values_and_types_are_those_of_mmengine(max_length, first):
    draw = random.Random(max_length)
    stock, buffer = Stock(max_length), HistoryBuffer(first, first, max_length)
    if first:
        stock.data = [np.array(first), np.array(first)]
    for _ in range(150):
        value = draw.choice([True, 3, 2.5, np.float64(2)])
        late = draw.random() < .5
        buffer.update((lambda value=value: value) if late else value, draw_count := draw.choice(
            [1, 2, 2.]))
        stock.update(value, draw_count)
        if draw.random() < .2:
            for mine, theirs in zip(buffer.data, stock.data, strict=True):
                assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
            assert buffer.mean(4) == stock.data[0][-4:].sum() / stock.data[1][-4:].sum()
        if draw.random() < .05:
            buffer = copy.deepcopy(buffer)
        if draw.random() < .05:
            file = io.BytesIO()
            torch.save(buffer, file)
            file.seek(0)
            buffer = torch.load(file)


def test_the_cost_of_a_value_is_constant(monkeypatch):
    copied = []
    stock = growing_history._with_room
    monkeypatch.setattr(growing_history, '_with_room', lambda values, kind: (
        copied.append(len(values)), stock(values, kind))[1])
    for max_length, total in ((1_000_000, 10_000), (100, 10_000)):
        buffer = HistoryBuffer([0.], [1], max_length)
        copied.clear()
        for step in range(1, total):
            before = buffer.data[0]
            buffer.update(float(step))
            assert before[-1] == step - 1  # what was handed out stays as it is
        assert sum(copied) < 4 * total and len(buffer._log) < 3 * min(total, max_length)


def test_what_is_no_number_is_refused_and_what_was_skipped_is_no_value():
    buffer = HistoryBuffer([1.], [1])
    for value, count in (('1', 1), (1., '1'), (torch.ones(1), 1)):
        with pytest.raises(TypeError, match='log_val must be int or float'):
            buffer.update(value, count)
    buffer.update(lambda: None)
    assert buffer.data[0].tolist() == [1.] and buffer.updates == 0


def test_only_tensors_of_training_are_read_late():
    hub = MessageHub('late')
    hub.step_numbers = numbers = StepNumbers()
    hub.update_scalar('train/loss', torch.tensor(1.))  # decides the order of the log
    hub.update_scalar('train/loss', torch.tensor(2.))
    hub.update_scalar('train/lr', .5)
    hub.update_scalar('val/loss', torch.tensor(3.))
    hub.update_scalar('val/loss', torch.tensor(4.))
    assert [*numbers._new] == [0]
    assert [*hub.log_scalars] == ['train/loss', 'train/lr', 'val/loss']
    state = hub.state_dict()['log_scalars']
    assert [value.data[0].tolist() for value in state.values()] == [[1., 2.], [.5], [3., 4.]]
