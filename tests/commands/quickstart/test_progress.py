"""Progress in the terminal."""
import io
import time

import pytest

from vicmae_mm.commands.quickstart.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until told."""
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    return now


def test_steps_are_numbered_and_timed(clock):
    stream = io.StringIO()
    progress = Progress(['render', 'train'], stream)
    progress.next_step()
    clock[0] += 3
    progress.next_step()
    clock[0] += 62
    assert progress.finish() == {'render': 3, 'train': 62}
    assert stream.getvalue().splitlines() == [
        '[1/2] render', '      took 3 s', '[2/2] train', '      took 1 min 02 s']


def test_time_left_is_what_the_pace_so_far_says(clock):
    stream = io.StringIO()
    progress = Progress(['train'], stream, interval=10)
    progress.next_step()
    clock[0] += 20
    progress.update(2, 8, 'loss 1')
    assert stream.getvalue().splitlines()[-1] == '      2/8  1 min 00 s left  loss 1'


def test_a_file_gets_a_line_an_interval_and_the_last(clock):
    stream = io.StringIO()
    progress = Progress(['train'], stream, interval=10)
    progress.next_step()
    for done in range(1, 26):
        clock[0] += 1
        progress.update(done, 25)
    assert [line.split()[0] for line in stream.getvalue().splitlines()[1:]] == [
        '10/25', '20/25', '25/25']


def test_a_terminal_line_is_overwritten(clock):
    stream = Terminal()
    progress = Progress(['train'], stream)
    progress.next_step()
    for done in (1, 2):
        clock[0] += 1
        progress.update(done, 2, 'x' * 200)
    lines = stream.getvalue().split('\r')
    assert len(lines) == 3 and stream.getvalue().count('\n') == 2
    assert {len(line.rstrip('\n')) for line in lines[1:]} == {100}


def test_durations():
    assert [duration(s) for s in (0.4, 59.4, 60, 485)] == [
        '0 s', '59 s', '1 min 00 s', '8 min 05 s']
