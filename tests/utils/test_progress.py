"""A bar on a terminal, lines in a log."""
import io
import re
import sys
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from vicmae_mm.utils import progress
from vicmae_mm.utils.progress import Progress, duration, track


@pytest.fixture
def log() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [0.]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


def test_log_gets_a_line_every_interval(log, clock):
    with Progress('Checking', 1000, log) as shown:
        for _ in range(4):
            clock[0] += 20
            shown.advance(100, bad=1)
    assert log.file.getvalue().splitlines() == [
        'Checking: 200 of 1,000, 2 min 40 s left, 2 bad',
        'Checking: 400 of 1,000, 2 min 00 s left, 4 bad']


def test_note_and_lines_are_printed_verbatim(log, clock):
    with Progress('Training', 10, log) as shown:
        clock[0] += 31
        shown.update(10, 'loss [1]')
        shown.say('saved [a]')
    assert log.file.getvalue() == 'Training: 10 of 10, loss [1]\nsaved [a]\n'


def test_terminal_gets_a_bar_and_no_log_lines(clock):
    terminal = Console(file=io.StringIO(), width=200, force_terminal=True)
    with Progress('Checking', 2, terminal) as shown:
        clock[0] += 60
        shown.advance(bad=1)
        shown.advance()
    text = terminal.file.getvalue()
    assert '2/2' in text and '1 bad' in text and 'of 2' not in text


def test_notebook_gets_one_bar_that_changes(clock, monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data['text/plain']))
    monkeypatch.setitem(sys.modules, 'IPython.display', SimpleNamespace(
        display=lambda data, raw, display_id: handle.update(data, raw) or handle))
    with Progress('Training', 4, Console(force_jupyter=True)) as bar:
        for note in ('first', 'too soon', 'loss [1]'):
            clock[0] += 0.06
            bar.update(bar._done + 1, note)
    for seconds, steps in ((0, 4), (1, 1)):
        with Progress('Done at once', steps, Console(force_jupyter=True)) as bar:
            clock[0] += seconds
            bar.update(steps)
    assert [re.findall(r'\d/4|first|too|loss.*', text) for text in shown] == [
        ['2/4', 'too'], ['2/4', 'too'], ['3/4', 'loss [1]']]


def test_track_yields_each_item_once(capsys):
    assert list(track('abc', 'Reading')) == ['a', 'b', 'c']


@pytest.mark.parametrize('seconds, words', [
    (0.4, '0 s'), (59.6, '1 min 00 s'), (200, '3 min 20 s')])
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_no_thread_draws(clock):
    terminal = Console(file=io.StringIO(), width=200, force_terminal=True)
    threads = threading.active_count()
    with Progress('Checking', 100, terminal) as shown:
        assert threading.active_count() == threads
        clock[0] += 1
        shown.update(50, 'half')
        assert '50/100' in terminal.file.getvalue()
        shown.update(51)  # too soon after the last drawing
        assert '51/100' not in terminal.file.getvalue()
