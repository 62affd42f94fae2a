"""StepSeedHook: what a step draws depends on seed, iteration and, if wanted, rank."""
import random
import traceback
from types import SimpleNamespace

import numpy as np
import torch

from vicmae_mm.datasets import SampleIndex
from vicmae_mm.datasets.samplers import random_stream
from vicmae_mm.engine import StepSeedHook
from vicmae_mm.utils import seeding


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
    with random_stream(SampleIndex(0, seed=3, epoch=7)):
        sample = random.random(), np.random.rand(), torch.rand(()).item()
    assert not set(draws(3, 7)) & set(sample)


def test_comes_before_all_hooks_that_draw():
    from mmengine.hooks import RuntimeInfoHook
    from mmengine.runner import get_priority
    assert get_priority(StepSeedHook.priority) < get_priority(RuntimeInfoHook.priority)


def test_the_streams_are_those_of_torch_manual_seed_without_its_cost(monkeypatch):
    seeds = []
    with monkeypatch.context() as patch:
        patch.setattr(seeding, '_seed_devices', seeds.append)
        StepSeedHook().before_train_iter(SimpleNamespace(seed=5, iter=9), 0)
    torch.manual_seed(*seeds)
    expected = torch.rand(3), torch.initial_seed()
    if not torch.cuda.is_available():
        monkeypatch.setattr(traceback, 'format_stack', None)  # called for devices that are not used
    StepSeedHook().before_train_iter(SimpleNamespace(seed=5, iter=9), 0)
    assert torch.equal(torch.rand(3), expected[0]) and torch.initial_seed() == expected[1]


def test_a_gpu_in_use_is_seeded_and_any_other_device_left_to_torch(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', lambda seed: calls.append('cuda'))
    monkeypatch.setattr(torch, 'manual_seed', lambda seed: calls.append('all'))
    for device, in_use in (('cuda', True), ('cuda', False), ('npu', False), ('cpu', False)):
        monkeypatch.setattr(torch.cuda, 'is_initialized', lambda in_use=in_use: in_use)
        monkeypatch.setattr(seeding, 'get_device', lambda device=device: device)
        StepSeedHook().before_train_iter(SimpleNamespace(seed=5, iter=9), 0)
    assert calls == ['cuda', 'all', 'all']
