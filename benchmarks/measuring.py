"""Measuring several ways of doing the same work side by side, on a machine that is never quiet."""
import argparse
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from vicmae_mm.commands.options import add_device
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores

CLOCKS: dict[str, Callable[[], float]] = {
    # CPU time of this process, all threads: other programs that share the machine change it
    # little. (Processes it has started are not in it.) Wall time is what a user waits for.
    'cpu': time.process_time,
    'wall': time.perf_counter,
}


def add_clock_and_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--clock``, one of :data:`CLOCKS`, and ``--device``, for :func:`select_device`."""
    parser.add_argument(
        '--clock', choices=CLOCKS, default='wall',
        help="on a CPU: 'cpu' is the process's own time, for a machine shared with others")
    add_device(parser)


def interleave(methods: Mapping[str, Callable[[Any], object]], items: Sequence[Any],
               rounds: int = 1, clock: str = 'cpu', seed: int = 0) -> dict[str, np.ndarray]:
    """Time every method on every item, in a random order of methods for each.

    The first item is done once by all beforehand, unmeasured, so that none pays for what is only
    done once.

    Args:
        methods: Functions of one item.
        items: What they are called with, such as the paths of videos.
        rounds: How often each item is measured.
        clock: ``'cpu'`` or ``'wall'``.
        seed: Of the order.

    Returns:
        Seconds (rounds * len(items),) for each method, in the same order of items for all.
    """
    now, order = CLOCKS[clock], np.random.default_rng(seed)
    for method in methods.values():
        method(items[0])
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for item in [*items] * rounds:
        for name in order.permutation(list(methods)):
            start = now()
            methods[name](item)
            seconds[name].append(now() - start)
    return {name: np.array(times) for name, times in seconds.items()}


def speed_up(baseline: np.ndarray, times: np.ndarray) -> tuple[float, float, float]:
    """How much faster than the baseline: median of the paired ratios, and its quartiles."""
    low, median, high = np.percentile(baseline / times, [25, 50, 75])
    return float(median), float(low), float(high)


def describe_speed_up(baseline: np.ndarray, times: np.ndarray) -> str:
    """The same in words: '2.00 (1.87 to 2.16)'."""
    median, low, high = speed_up(baseline, times)
    return f'{median:.2f} ({low:.2f} to {high:.2f})'


def select_device(name: str) -> torch.device:
    """The CPU, or a GPU, which becomes the current one: the one whose queue events are put into.

    Raises:
        ValueError: For a device of another kind.
    """
    device = torch.device(name)
    if device.type not in ('cpu', 'cuda'):
        raise InputError(f'--device {name}: nothing can be measured there; give cpu or cuda')
    if device.index is not None and device.type == 'cuda':
        torch.cuda.set_device(device)
    return device


def describe_machine(*packages: str) -> str:
    """One line on the machine: processor, cores, GPUs, and versions of torch and ``packages``."""
    parts = [f'{_processor()}, {num_cores()} cores']
    if torch.cuda.is_available():
        parts.append(f'{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}')
    parts.append(f'Python {platform.python_version()}, torch {torch.__version__}')
    for package in packages:
        try:
            parts.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            parts.append(f'no {package}')
    return ', '.join(parts)


def _processor() -> str:
    try:
        with open('/proc/cpuinfo') as file:
            names = [line.split(':')[1].strip() for line in file if line.startswith('model name')]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that reads well in a terminal and can be pasted into a document."""
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    return '\n'.join([*_head(header, widths), *(_line(row, widths) for row in rows)])


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print such a table row by row, each as soon as it is there: what cuts the work short is late.

    Args:
        header: Names, padded to the width that a column is to have.
        rows: Made while they are printed. Without one, nothing is printed.
    """
    widths = [len(name) for name in header]
    for number, row in enumerate(rows):
        lines = [*([] if number else _head(header, widths)), _line(row, widths)]
        print(*lines, sep='\n', flush=True)


def _head(header: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [_line(header, widths), '|' + '|'.join('-' * (width + 2) for width in widths) + '|']


def _line(row: Sequence[object], widths: Sequence[int]) -> str:
    cells = (str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
    return '| ' + ' | '.join(cells) + ' |'


def mib(size: float) -> str:
    """A number of bytes in MiB."""
    size /= 2**20
    return f'{size:,.0f}' if size >= 1000 else f'{size:.3g}'
