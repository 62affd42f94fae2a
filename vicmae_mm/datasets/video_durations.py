"""Durations of many video files, read from their headers and kept in a file."""
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction

from mmengine.logging import print_log

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, library, open_container, video_stream
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.main_process import on_main_process
from vicmae_mm.utils.progress import Progress

THREADS = 32  # on a network disk, they wait most of the time
FILE = 'durations.json'
_Entry = list  # size in bytes, modification time in ns, seconds


def video_durations(paths: Sequence[str], folder: str | None) -> list[float | None]:
    """Durations in seconds, read by the main process and the same on every one.

    Args:
        paths: The files.
        folder: Where to keep them, so that a later call only looks whether files have changed.

    Returns:
        As the header says. If it does not say or cannot be true, the packets are read: 0 if they
        have no time stamps. None for a file that cannot be opened.
    """
    return on_main_process(lambda: _read_all(paths, folder))


def _read_all(paths: Sequence[str], folder: str | None) -> list[float | None]:
    file = os.path.join(os.path.expanduser(folder), FILE) if folder else ''
    kept: dict[str, _Entry] = {}
    with suppress(OSError, ValueError, AttributeError), open(file, encoding='utf-8') as text:
        kept = dict(json.load(text).items())
    names = [os.path.abspath(path) for path in paths]

    def read(name: str) -> _Entry:
        state, known = [*file_state(name)], kept.get(name)
        if isinstance(known, list) and len(known) == 3 and known[:2] == state:
            return known
        with suppress(VideoError):
            return [*state, read_duration(name)]
        return [*state, None]

    new: dict[str, _Entry] = {}
    with (ThreadPoolExecutor(THREADS) as pool,
          Progress('Reading durations', len(names), transient=True) as progress):
        for name, entry in zip(names, pool.map(read, names), strict=True):
            new[name] = entry
            progress.advance(1, entry[2] is None)
    # Those that cannot be opened are tried again.
    found = {**kept, **{name: entry for name, entry in new.items() if entry[2] is not None}}
    if file and found != kept:
        try:
            atomic_write_bytes(file, [json.dumps(found).encode()])
        except OSError as error:
            print_log(f'{file} cannot be written ({error}): durations are read again at the next '
                      'start.', 'current', logging.WARNING)
    return [new[name][2] for name in names]


def read_duration(path: str) -> float:
    """The duration of one file in seconds, as :func:`video_durations` returns it.

    Raises:
        VideoError: It cannot be opened.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        microsecond = Fraction(1, library().time_base)
        for ticks, unit in ((stream.duration, stream.time_base), (container.duration, microsecond)):
            seconds = float((ticks or 0) * (unit or 0))
            # Damaged headers have any number: less than 100 bytes per second is no video.
            if 0 < seconds <= os.path.getsize(path) / 100:
                return seconds
        times = [packet.pts for packet in demux(container, stream, path) if packet.pts is not None]
        return float((max(times) - min(times)) * (stream.time_base or 0)) if times else 0.
