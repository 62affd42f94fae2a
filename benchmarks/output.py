"""What the commands print: the machine, tables, and what is under way."""
import logging
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from vicmae_mm.utils.processes.pool import num_cores


def print_machine(*packages: str) -> None:
    """Print processor, cores, GPUs, and the versions of Python, torch and ``packages``."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    parts = [names[0] if names else platform.machine(), f'{num_cores()} cores']
    if torch.cuda.is_available():
        parts.append(f'{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}')
    parts += [f'Python {platform.python_version()}', f'torch {torch.__version__}']
    for package in packages:
        try:
            parts.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            parts.append(f'no {package}')
    print(', '.join([*parts, load()]))


def load() -> str:
    """Say how many processes ran or waited for a core in the last minute, this one included."""
    return f'load {os.getloadavg()[0]:.1f}'


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table whose columns fit a list of rows.

    Rows of an iterator are printed as soon as they exist, in columns as wide as the header.
    """
    fitted = rows if isinstance(rows, list) else []
    widths = [max(len(str(row[i])) for row in (header, *fitted)) for i in range(len(header))]

    def line(row: Sequence[object]) -> str:
        cells = (str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        return f'| {" | ".join(cells)} |'

    for number, row in enumerate(rows):
        if not number:
            print(line(header), f'|{"|".join("-" * (width + 2) for width in widths)}|', sep='\n')
        print(line(row), flush=True)


def mib(size: float) -> str:
    """Format bytes in MiB."""
    size /= 2**20
    return f'{size:,.0f}' if size >= 1000 else f'{size:.3g}'


@contextmanager
def doing(action: str) -> Iterator[None]:
    """Show on a terminal what is under way, until it is done; write nothing to a log."""
    # Timed work gets this line and no progress bar: drawing a bar, above all in a thread, would be
    # measured as well. In a log, the line would end up between the rows of a table.
    if not sys.stderr.isatty():
        yield
        return
    print(f'{action} ...', end='', file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print('\r\x1b[2K', end='', file=sys.stderr, flush=True)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Suppress mmengine's line for every parameter that it initializes and optimizes."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
