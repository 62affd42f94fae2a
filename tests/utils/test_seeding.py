"""Streams of random numbers that belong to a sample."""
import random
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator

from vicmae_mm.utils.seeding import get_rng_states, seeded, set_rng_states


def draw() -> tuple:
    """A number from each generator."""
    return random.random(), np.random.rand(), torch.rand(1).item()


def draw_in(*args) -> tuple:
    """The first numbers of a stream."""
    with seeded(*args):
        return draw()


def test_stream_depends_on_its_entropy_alone():
    first = draw_in((1, 2, 3))
    draw()
    assert draw_in((1, 2, 3)) == first


def test_different_streams_differ_in_every_generator():
    names = [((seed, epoch, index), stream)
             for seed, epoch, index, stream in product(range(3), repeat=4)]
    for column in zip(*(draw_in(*name) for name in names), strict=True):
        assert len(set(column)) == len(names)


def test_process_continues_as_if_nothing_had_been_drawn():
    before = get_rng_states()
    expected = [draw() for _ in range(3)]
    set_rng_states(before)
    got = []
    for _ in range(3):
        draw_in((0, 0, 0))
        got.append(draw())
    assert got == expected


def test_states_are_restored_after_an_error():
    before = get_rng_states()
    expected = draw()
    set_rng_states(before)
    with pytest.raises(RuntimeError), seeded((0, 0, 0)):
        raise RuntimeError
    assert draw() == expected


@pytest.mark.parametrize('generator', [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize('drawn', [0, 1, 623, 624, 625])
def test_normal_deviates_do_not_leak(generator, drawn, request):
    # numpy keeps the second normal deviate of a pair; it must be restored, too.
    request.addfinalizer(partial(set_bit_generator, get_bit_generator()))
    set_bit_generator(generator(0))
    np.random.randn(drawn)
    state = get_rng_states()
    expected = np.random.randn(3).tolist()
    set_rng_states(state)
    with seeded((0, 0, 0)):
        np.random.randn()
    assert np.random.randn(3).tolist() == expected


def test_blocks_may_be_nested():
    expected = draw_in((1, 2, 3))
    with seeded((1, 2, 3)):
        other = draw_in((4, 5, 6))
        assert draw() == expected
    assert draw_in((4, 5, 6)) == other != expected
