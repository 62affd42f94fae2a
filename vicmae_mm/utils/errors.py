"""Errors that the user, not a programmer, can fix."""


class UserError(Exception):
    """Marks an error over a file, setting or checkpoint, whose message says what to do.

    Subclasses also derive from the built-in type that a caller would catch, such as
    :class:`ValueError`. The tools print them in one line, without a traceback.
    """


class InputError(UserError, ValueError):
    """An argument, setting, file or checkpoint that cannot be used."""


class RunError(UserError, RuntimeError):
    """A run that cannot continue."""
