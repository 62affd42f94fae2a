"""Telling the user something about many files without telling it for each."""
import logging

from mmengine.logging import print_log

_said: set[str] = set()


def warn_once(text: str, path: str) -> None:
    """Log a warning the first time ``text`` comes up in this process.

    Args:
        text: What holds for this kind of file.
        path: The first file it was seen with, named in the message.
    """
    if text not in _said:
        _said.add(text)
        print_log(f'{path}: {text}. (Said once for files of this kind.)', logger='current',
                  level=logging.WARNING)
