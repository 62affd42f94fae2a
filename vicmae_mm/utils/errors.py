"""Errors that the user can fix without a programmer."""
from collections.abc import Collection, Sequence

# Exit status of a command that is done, except for bad input, which it has listed
SOME_ARE_BAD = 3


class UserError(Exception):
    """Marks an error about a file, setting or checkpoint, whose message says what to do.

    Subclasses also derive from the built-in type that a caller would catch, such as
    :class:`ValueError`. The tools print them in one line, without a traceback.

    A subclass can be created from a single string, since torch's DataLoader creates the errors of
    its workers again from the text of their tracebacks.
    """


def some_of(names: Sequence[str], most: int = 4) -> str:
    """The first of many names, for a message, and how many more there are."""
    more = f' and {len(names) - most:,} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def quoted(names: Collection[str]) -> str:
    """Some names in quotes, which show spaces at their ends."""
    return some_of([*map(repr, sorted(names))], 3)


class InputError(UserError, ValueError):
    """An argument, setting, file or checkpoint that cannot be used."""


class RunError(UserError, RuntimeError):
    """A run that cannot continue."""
