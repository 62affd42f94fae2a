"""Warnings that hold for many files, logged once."""
import logging

from mmengine.logging import print_log

_said: set[str] = set()


def warn_once(text: str, path: str) -> None:
    """Log a warning the first time that ``text`` comes up in this process, with the file's path."""
    if text not in _said:
        _said.add(text)
        print_log(f'{path}: {text}. (Each data-loading process reports only its first file of '
                  'this kind.)', logger='current', level=logging.WARNING)
