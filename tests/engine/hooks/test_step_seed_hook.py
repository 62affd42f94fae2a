"""StepSeedHook: what a step draws depends on seed, iteration and, if wanted, rank."""
import random
from types import SimpleNamespace

import numpy as np
import torch

from vicmae_mm.datasets import SampleIndex
from vicmae_mm.engine import StepSeedHook


def draws(seed: int = 0, iteration: int = 0) -> tuple:
    StepSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_same_step_same_numbers():
    first = draws(3, 7)
    random.random(), np.random.rand(), torch.rand(5)
    assert draws(3, 7) == first
    steps = [draws(seed, iteration) for seed in range(4) for iteration in range(50)]
    for numbers in zip(*steps, strict=True):
        assert len(set(numbers)) == len(steps)


def test_no_step_draws_what_a_sample_draws():
    with SampleIndex(0, seed=3, epoch=7).random_stream():
        sample = random.random(), np.random.rand(), torch.rand(()).item()
    assert not set(draws(3, 7)) & set(sample)


def test_comes_before_all_hooks_that_draw():
    from mmengine.hooks import RuntimeInfoHook
    from mmengine.runner import get_priority
    assert get_priority(StepSeedHook.priority) < get_priority(RuntimeInfoHook.priority)
