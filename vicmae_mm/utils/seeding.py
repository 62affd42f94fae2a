"""Random streams that belong to a sample, not to the process that draws it."""
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RngStates = tuple[Any, dict[str, Any], torch.Tensor]


def get_rng_states() -> RngStates:
    """States of the global generators a transform may draw from.

    Returns:
        tuple: those of python's ``random``, of ``np.random`` and of torch's
        CPU generator.
    """
    return (random.getstate(), np.random.get_state(legacy=False),
            torch.random.default_generator.get_state())


def set_rng_states(states: RngStates) -> None:
    """Put back what :func:`get_rng_states` returned."""
    python_state, numpy_state, torch_state = states
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.random.default_generator.set_state(torch_state)


def seed_generators(entropy: Sequence[int]) -> None:
    """Seed the process's generators, those of all accelerators included.

    Args:
        entropy (Sequence[int]): Non-negative integers that name the stream. It is another
            one than any of :func:`seeded`.
    """
    _seed(entropy, (), torch.manual_seed)


def _seed(entropy: Sequence[int], spawn_key: tuple[int, ...],
          seed_torch: Callable[[int], Any]) -> None:
    words = np.random.SeedSequence(entropy, spawn_key=spawn_key).generate_state(5).tolist()
    random.seed(words[0] << 32 | words[1])
    np.random.seed(words[2])
    seed_torch(words[3] << 32 | words[4])


@contextmanager
def seeded(entropy: Sequence[int], stream: int = 0) -> Iterator[None]:
    """Run a block on generators seeded from ``entropy``, then put the old states back.

    The block neither sees nor disturbs the random state of the process: with
    ``num_workers=0`` the training's own generators go on as if it had not run.
    CUDA generators are left alone (transforms run on the CPU, and
    ``torch.manual_seed`` would touch every device).

    Args:
        entropy (Sequence[int]): Non-negative integers that name the stream,
            here (seed, epoch, index).
        stream (int): Number of an independent stream of the same name.
    """
    before = get_rng_states()
    try:
        _seed(entropy, (stream,), torch.random.default_generator.manual_seed)
        yield
    finally:
        set_rng_states(before)
