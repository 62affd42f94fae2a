"""What is measured is printed at once, as one table."""
import io
import sys

import pytest

from benchmarks.measuring import markdown_table, print_table, select_device
from benchmarks.progress import doing


def test_rows_are_printed_as_they_come(capsys):

    def rows():
        yield ['a', 1]
        assert capsys.readouterr().out.splitlines() == [
            '| what | number |', '|------|--------|', '| a    | 1      |']
        yield ['b', 2.5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        print_table(['what', 'number'], rows())
    assert capsys.readouterr().out == '| b    | 2.5    |\n'


def test_the_table_is_that_of_a_string(capsys):
    rows = [['a', 1], ['b', 22]]
    print_table(['what', 'number'], rows)
    assert capsys.readouterr().out == markdown_table(['what', 'number'], rows) + '\n'
    print_table(['what'], [])
    assert capsys.readouterr().out == ''


class Terminal(io.StringIO):
    """A terminal that keeps all it was sent."""

    def isatty(self) -> bool:
        return True


def test_what_is_being_done_is_gone_from_a_terminal_when_it_is_done(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    with pytest.raises(KeyError), doing('counting'):
        assert sys.stderr.getvalue() == 'counting ...'
        raise KeyError
    assert sys.stderr.getvalue().endswith('\r\x1b[2K')  # to the line's begin, and erase it


def test_what_is_being_done_stands_in_no_log(capsys):
    with doing('counting'):
        print('a row')
    assert capsys.readouterr() == ('a row\n', '')


def test_a_device_of_another_kind():
    with pytest.raises(ValueError, match='meta: nothing can be measured'):
        select_device('meta')
