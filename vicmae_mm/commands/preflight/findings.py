"""The results of a check."""
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mmengine.logging import MMLogger

from vicmae_mm.commands.run_tool import own_message, user_message


@dataclass
class Findings:
    """Errors, warnings and notes, one line each and each listed once."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def error(self, message: str) -> None:
        """Add a fault that would stop training."""
        _add(self.errors, message)

    def warn(self, message: str) -> None:
        """Add what is suspicious but may be intended."""
        _add(self.warnings, message)

    def note(self, message: str) -> None:
        """Add what was checked and is in order."""
        _add(self.notes, message)

    @contextmanager
    def catch(self, name: str = '') -> Iterator[None]:
        """Add an exception raised in the block as an error of the setting ``name``."""
        try:
            yield
        except Exception as error:
            self.error(f'{name}: {describe(error)}' if name else describe(error))

    @contextmanager
    def collect_warnings(self) -> Iterator[None]:
        """Add what is logged in the block as a warning."""

        def add(record: logging.LogRecord) -> bool:
            if record.levelno >= logging.WARNING:
                self.warn(record.getMessage())
            return True

        logger = MMLogger.get_current_instance()
        logger.addFilter(add)
        try:
            yield
        finally:
            logger.removeFilter(add)


def describe(error: Exception) -> str:
    """Type and message of an exception; for one that the user can fix, the message alone."""
    # An assertion without words is at least quoted.
    text = own_message(error) or traceback.extract_tb(error.__traceback__)[-1].line
    return user_message(error) or f'{type(error).__name__}: {text}'


def _add(lines: list[str], message: str) -> None:
    line = ' '.join(message.split())
    if line not in lines:
        lines.append(line)
