"""Durations of many video files, read from their headers and kept in a file."""
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, library, open_container, video_stream
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.main_process import on_main_process
from vicmae_mm.utils.progress import track

MOST_OTHERS = 100_000  # about 15 MB


def video_durations(paths: Sequence[str], folder: str | None) -> list[float | None]:
    """Durations in seconds, read by the main process; None for a file that cannot be opened.

    A folder keeps them, each as long as its file keeps its size and modification time, with those
    of at most ``MOST_OTHERS`` videos that are not among the paths.
    """
    return on_main_process(lambda: _read_all([*map(os.path.abspath, paths)], folder))


def _read_all(paths: list[str], folder: str | None) -> list[float | None]:
    file = os.path.join(os.path.expanduser(folder), 'durations.json') if folder else ''
    kept: dict[str, list] = {}
    with suppress(OSError, ValueError, TypeError), open(file, encoding='utf-8') as text:
        kept = {path: [size, time, float(seconds)]
                for path, (size, time, seconds) in dict(json.load(text)).items()}

    def read(path: str) -> list:
        state = [*file_state(path)]
        with suppress(VideoError):
            return kept[path] if kept.get(path, [])[:2] == state else [*state, read_duration(path)]
        return [*state, None]

    with ThreadPoolExecutor(32) as pool:  # on a network disk, they wait most of the time
        reading = track([pool.submit(read, path) for path in paths], 'Reading durations')
        found = {path: each.result() for path, each in zip(paths, reading, strict=True)}
    new = {path: entry for path, entry in found.items() if entry[2] is not None}
    if file and not new.items() <= kept.items():
        with suppress(OSError):  # read again at the next start
            others = [item for item in kept.items() if item[0] not in found][-MOST_OTHERS:]
            atomic_write_bytes(file, [json.dumps({**dict(others), **new}).encode()])
    return [found[path][2] for path in paths]


def read_duration(path: str) -> float:
    """What the header says; else by the times of the packets, or 0 if they have none."""
    with open_container(path) as container:
        stream = video_stream(container, path)
        for ticks, unit in ((stream.duration, stream.time_base),
                            (container.duration, Fraction(1, library().time_base))):
            seconds = float((ticks or 0) * (unit or 0))
            # Damaged headers have any number: less than 100 bytes per second is no video.
            if 0 < seconds <= os.path.getsize(path) / 100:
                return seconds
        times = [packet.pts for packet in demux(container, stream, path) if packet.pts is not None]
        return float((max(times) - min(times)) * (stream.time_base or 0)) if times else 0.
