"""Readable lists of tensor names."""
import re
from collections.abc import Iterable


def shorten(names: Iterable[str]) -> str:
    """Join names; those that differ only in layer or last word become ``blocks.0-11.w|b``."""
    layers: dict[str, list[int]] = {}
    for name in names:
        number = re.search(r'(?<=\.)\d+(?=\.)', name)
        stem = name if number is None else f'{name[:number.start()]}{{}}{name[number.end():]}'
        layers.setdefault(stem, []).extend([] if number is None else [int(number[0])])
    words: dict[str, list[str]] = {}
    for stem, numbers in layers.items():
        head, _, word = stem.format(_ranges(numbers)).rpartition('.')
        words.setdefault(head, []).append(word)
    return ', '.join(f'{head}.{"|".join(found)}' if head else ', '.join(found)
                     for head, found in words.items())


def _ranges(numbers: list[int]) -> str:
    """Write 0, 1, 2, 5 as ``0-2,5``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ','.join(f'{run[0]}-{run[-1]}' if len(run) > 1 else str(run[0]) for run in runs)
