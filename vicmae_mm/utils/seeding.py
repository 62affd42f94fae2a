"""Random streams that belong to a sample, not to the process that draws from them."""
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RngStates = tuple[Any, dict[str, Any], torch.Tensor]


def get_rng_states() -> RngStates:
    """States of python's ``random``, of ``np.random`` and of torch's CPU generator."""
    return (random.getstate(), np.random.get_state(legacy=False),
            torch.random.default_generator.get_state())


def set_rng_states(states: RngStates) -> None:
    """Restore what :func:`get_rng_states` returned."""
    python_state, numpy_state, torch_state = states
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.random.default_generator.set_state(torch_state)


def seed_generators(entropy: Sequence[int]) -> None:
    """Seed all generators of the process, including those of accelerators.

    The stream of an ``entropy`` differs from all streams of :func:`seeded`.
    """
    _seed(entropy, (), torch.manual_seed)


def _seed(entropy: Sequence[int], spawn_key: tuple[int, ...],
          seed_torch: Callable[[int], Any]) -> None:
    # SeedSequence hashes: neighbouring (seed, epoch, index) give unrelated streams, while sums
    # or products of them would collide.
    words = np.random.SeedSequence(entropy, spawn_key=spawn_key).generate_state(5).tolist()
    random.seed(words[0] << 32 | words[1])
    np.random.seed(words[2])
    seed_torch(words[3] << 32 | words[4])


@contextmanager
def seeded(entropy: Sequence[int], stream: int = 0) -> Iterator[None]:
    """Run a block with generators seeded from ``entropy``, then restore their states.

    The block neither sees nor changes the random state of the process: with ``num_workers=0``,
    the generators that training uses continue as if it had not run.

    Args:
        entropy: Non-negative integers that identify the stream, such as (seed, epoch, index).
        stream: Selects one of several independent streams of the same ``entropy``.
    """
    before = get_rng_states()
    try:
        # Not torch.manual_seed, which would seed every GPU too: transforms run on the CPU.
        _seed(entropy, (stream,), torch.random.default_generator.manual_seed)
        yield
    finally:
        set_rng_states(before)
