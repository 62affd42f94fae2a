"""StepNumbers: exact numbers of any type, read together, or not at all."""
from collections import Counter

import torch

from benchmarks.loop import count_reads
from vicmae_mm.engine.late_values import StepNumbers

VALUES = [torch.tensor(0.1), torch.tensor([2.5]), torch.tensor(0.1, dtype=torch.float64),
          torch.tensor(0.1, dtype=torch.bfloat16), torch.tensor(2**60 + 1), torch.tensor(True),
          torch.tensor(float('nan'), requires_grad=True)]


def test_numbers_are_those_of_item():
    numbers = StepNumbers()
    reads = [numbers.add(value) for value in VALUES[:4]]
    numbers.send()
    reads += [numbers.later(value) for value in VALUES[4:]]  # also after the first ones
    for read, value in zip(reads, VALUES, strict=True):
        assert type(read()) is type(value.item()) and repr(read()) == repr(value.item())


def test_one_read_for_all():
    numbers, places = StepNumbers(), Counter()
    reads = [numbers.later(torch.tensor(float(value))) for value in range(9)]
    with count_reads(places, lambda: True):
        numbers.send()
        assert not places
        assert [read() for read in reads] == [*range(9)]
    assert torch.cuda.is_available() or sum(places.values()) == 1


def test_what_is_changed_after_sending_does_not_count():
    numbers, value = StepNumbers(), torch.tensor(1.)
    read = numbers.add(value)
    numbers.send()
    value.fill_(2.)
    assert read() == 1.


def test_a_skipped_step_has_no_numbers():
    numbers = StepNumbers()
    read, raw = numbers.later(torch.tensor(1.)), numbers.add(torch.tensor(2.))
    numbers.skipped = numbers.add(torch.tensor(1.))
    assert read() is None and raw() == 2.
