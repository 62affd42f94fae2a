"""Values by source are means over the samples of a source, in all processes and batches."""
import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from vicmae_mm.engine import global_log_processor
from vicmae_mm.engine.global_log_processor import GlobalLogProcessor

STEPS, BATCH, WINDOW, LINES, START = 18, 4, 6, (4, 8, 9, 14, 18), 6
MEANS = [dict(data_src=name, method_name='mean', window_size=WINDOW)
         for name in ('recon', 'contrast', 'pair_accuracy')]


def source_of(step: int, row: int) -> str:
    """b only in the first half, c in the first row of some batches, d never."""
    if row == 0 and step % 5 == 2:
        return 'c'
    return 'b' if row % 2 and step < 6 else 'a'


def value_of(name: str, step: int, row: int) -> float:
    return math.sin(1 + 7 * step + 31 * row + len(name))


def logged(rank: int, world: int) -> list[dict[str, Any]]:
    """Log as the model of each process does; the contrast begins later, and ends."""
    rows = range(rank, BATCH, world)
    runner = SimpleNamespace(message_hub=MessageHub(f'by_source_{world}_{rank}'))
    processor, lines = GlobalLogProcessor(window_size=WINDOW, custom_cfg=MEANS), []
    for step in range(1, STEPS + 1):
        for name in ('recon', 'contrast') if START < step < 12 else ('recon', ):
            values = {row: value_of(name, step, row) for row in rows}
            scalars = {name: np.mean([*values.values()])}
            for source in ('a', 'b', 'c', 'd'):
                own = [values[row] for row in rows if source_of(step, row) == source]
                scalars[f'{name}/{source}/sum'] = sum(own) / len(rows)
                scalars[f'{name}/{source}/share'] = len(own) / len(rows)
            for key, value in scalars.items():
                runner.message_hub.update_scalar(f'train/{key}', float(value))
        if step in LINES:
            tag = processor._collect_scalars(MEANS, runner, 'train')
            assert processor._collect_scalars(MEANS, runner, 'train', True).keys() == {
                f'train/{name}' for name in tag}
            lines.append({name: float(value) for name, value in tag.items()})
    return lines


def expected(line: int) -> dict[str, float]:
    known: dict[str, float] = {}
    for name, begin, end in (('recon', 1, STEPS), ('contrast', START + 1, 11)):
        last = range(begin, min(line, end) + 1)[-WINDOW:]
        if not last or last[-1] <= max((each for each in LINES if each < line), default=0):
            continue
        values = [(source_of(step, row), value_of(name, step, row))
                  for step in last for row in range(BATCH)]
        known[name] = np.mean([value for _, value in values])
        for source in 'abc':
            own = [value for each, value in values if each == source]
            if own:
                known[f'{name}/{source}'] = np.mean(own)
    return known


@pytest.mark.parametrize('world', [1, 2, 4])
def test_values_by_source_do_not_depend_on_the_processes(world: int, monkeypatch) -> None:
    own: list[list[torch.Tensor]] = []  # what each process brings to the reduction of each line
    monkeypatch.setattr(global_log_processor, 'all_reduce',
                        lambda x, op: own[-1].append(x.clone()))
    for rank in range(world):
        own.append([])
        logged(rank, world)
    means = [torch.stack(each).mean(0) for each in zip(*own, strict=True)]
    lines = iter(world * means)
    monkeypatch.setattr(global_log_processor, 'all_reduce', lambda x, op: x.copy_(next(lines)))
    results = [logged(rank, world) for rank in range(world)]
    wanted = [expected(line) for line in LINES]
    assert 'recon/b' in wanted[0] and 'recon/b' not in wanted[-1] and 'contrast/a' in wanted[1]
    for lines in results:
        for got, want in zip(lines, wanted, strict=True):
            assert got == pytest.approx(want, rel=1e-12)


def test_other_datasets_add_nothing_to_the_reduction(monkeypatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(global_log_processor, 'all_reduce', lambda x, op: sizes.append(len(x)))
    runner = SimpleNamespace(message_hub=MessageHub('no_sources'))
    runner.message_hub.update_scalars({'train/recon': 1., 'train/loss': 1., 'train/lr': 1.})
    tag = GlobalLogProcessor()._collect_scalars(MEANS, runner, 'train')
    assert sizes == [2] and json.loads(json.dumps(tag)) == dict(recon=1., loss=1., lr=1.)
