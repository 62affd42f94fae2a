"""What is measured is printed at once, as one table."""
import io
import sys

import pytest

from benchmarks.options import select_device
from benchmarks.output import doing, print_table


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


def test_the_table_of_a_list_is_the_same(capsys):
    rows = [['a', 1], ['b', 22]]
    print_table(['what', 'number'], iter(rows))
    streamed = capsys.readouterr().out
    print_table(['what', 'number'], rows)
    assert capsys.readouterr().out == streamed
    print_table(['what'], [])
    assert capsys.readouterr().out == ''


def test_columns_fit_a_list(capsys):
    print_table(['a'], [['long']])
    assert capsys.readouterr().out.splitlines() == ['| a    |', '|------|', '| long |']


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


def test_what_is_being_done_is_not_in_a_log(capsys):
    with doing('counting'):
        print('a row')
    assert capsys.readouterr() == ('a row\n', '')


def test_a_device_of_another_kind():
    with pytest.raises(ValueError, match='meta: nothing can be measured'):
        select_device('meta')
