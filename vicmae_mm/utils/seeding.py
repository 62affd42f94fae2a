"""Random streams that belong to a sample, not to the process that draws from them."""
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from numpy.random.mtrand import get_bit_generator, set_bit_generator

RngStates = tuple[Any, dict[str, Any], torch.Tensor]
_spares: list[np.random.MT19937] = []  # several where blocks of seeded() are nested


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
    _seed(entropy, (), _seed_devices)


def _seed_devices(seed: int) -> None:
    """``torch.manual_seed``, without what takes most of its time in every step."""
    # For each kind of device that is not in use, it formats a traceback.
    if get_device() == 'cuda' and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    elif get_device() != 'cpu':
        torch.manual_seed(seed)
    torch.random.default_generator.manual_seed(seed)


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
    the generators that training uses continue as if it had not run. Non-negative integers, such as
    (seed, epoch, index), identify the stream, and ``stream`` one of several independent ones.
    """
    (python_state, numpy_state, torch_state), outer = get_rng_states(), get_bit_generator()
    # Numpy restores a state word by word, which takes longer than putting back the generator.
    spare = _spares.pop() if _spares else np.random.MT19937(0)
    set_bit_generator(spare)
    try:
        # Not torch.manual_seed, which would seed every GPU too: transforms run on the CPU.
        _seed(entropy, (stream,), torch.random.default_generator.manual_seed)
        yield
    finally:
        _spares.append(spare)
        set_bit_generator(outer)
        if numpy_state['has_gauss']:  # a normal deviate that numpy keeps of a pair
            np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.random.default_generator.set_state(torch_state)
