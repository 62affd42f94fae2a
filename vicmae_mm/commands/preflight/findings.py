"""What a check has to say."""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vicmae_mm.commands.run_tool import own_message, user_message


@dataclass
class Findings:
    """Errors, warnings and what was found in order, in one line each."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def error(self, words: str) -> None:
        """Add what stops training, unless it is there already."""
        _add(self.errors, words)

    def warn(self, words: str) -> None:
        """Add what may be meant, unless it is there already."""
        _add(self.warnings, words)

    def note(self, words: str) -> None:
        """Add what is as it should be."""
        _add(self.notes, words)

    @contextmanager
    def catch(self, what: str) -> Iterator[None]:
        """Take an exception of the block as an error of ``what``."""
        try:
            yield
        except Exception as error:
            self.error(f'{what}: {describe(error)}')


def describe(error: Exception) -> str:
    """An exception in one line."""
    return one_line(user_message(error) or f'{type(error).__name__}: {own_message(error)}')


def one_line(words: str) -> str:
    """A text with its lines joined."""
    return ' '.join(words.split())


def _add(lines: list[str], words: str) -> None:
    line = one_line(words)
    if line not in lines:
        lines.append(line)
