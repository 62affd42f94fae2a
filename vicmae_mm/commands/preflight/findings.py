"""The results of a check."""
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger

from vicmae_mm.commands.run_tool import own_message, user_message
from vicmae_mm.utils.errors import InputError

_NO_TYPE = re.compile(r'^.*?((\S+) is not in the (?:\S+::)?([\w ]+) registry)\. .*$')


@dataclass
class Findings:
    """Errors, warnings and notes, one line each, each once; and whether all was checked."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True

    def error(self, message: str) -> None:
        """Add a fault that would stop training."""
        _add(self.errors, message)

    def warn(self, message: str) -> None:
        """Add what is suspicious but may be intended."""
        _add(self.warnings, message)

    def note(self, message: str) -> None:
        """Add what was checked and is in order."""
        _add(self.notes, message)

    def report(self) -> None:
        """Print the warnings, and raise an InputError of all errors, one per line."""
        for line in self.warnings:
            print(f'warning: {line}', file=sys.stderr, flush=True)
        if self.errors:
            raise InputError('\nerror: '.join(self.errors))

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


def name_types(cfg: Config, findings: Findings) -> None:
    """Say in mmengine's errors about unknown types where the config names them."""
    for index, line in enumerate(findings.errors):
        if match := _NO_TYPE.match(line):
            words, kind, registry = match.groups()
            for path in _paths_of_type(cfg, kind):
                findings.errors[index] = (
                    f'{path}.type={kind!r} is not a registered {registry}: correct its spelling, '
                    f'or add the module that defines it to custom_imports ({words})')
                break
    findings.errors[:] = dict.fromkeys(findings.errors)


def _paths_of_type(node: Any, kind: str, path: str = '') -> Iterator[str]:
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if hasattr(node, 'items'):
        if node.get('type') == kind:
            yield path
        for key, value in node.items():
            yield from _paths_of_type(value, kind, f'{path}.{key}' if path else str(key))
