"""Long videos count as many samples: by their durations, they are cut into segments."""
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from mmengine.logging import print_log

from vicmae_mm.datasets.bad_videos.ledger import Segment
from vicmae_mm.datasets.bad_videos.limit import BadVideos
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingDataset
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, library, open_container, video_stream
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.main_process import on_main_process
from vicmae_mm.utils.progress import track

from .samplers import SampleIndex
from .transforms.frame_pair import at_least

_MOST_OTHERS = 100_000  # durations that are kept of other videos, about 15 MB


class SegmentedDataset(SkippingDataset):
    """Base class of :class:`VideoPairDataset`, which describes it, and :class:`PackedFrameDataset`.

    The record of a segment has ``segment``, begin and end in seconds, the end not included.
    """

    def __init__(self, *, segment_seconds: float | None = None,
                 segment_stride: float | None = None, max_samples_per_video: int | None = None,
                 **kwargs: Any) -> None:
        if segment_seconds is None and not segment_stride is max_samples_per_video is None:
            raise InputError('segment_stride and max_samples_per_video have no meaning without '
                             'segment_seconds, the length of a segment: set it as well.')
        for name, value in dict(segment_seconds=segment_seconds,
                                segment_stride=segment_stride).items():
            if value is not None and not (type(value) in (int, float) and .1 <= value < math.inf):
                raise InputError(f'{name}={value!r} should be a number of seconds, 0.1 or more.')
        if max_samples_per_video is not None:
            at_least(type(self).__name__, 1, max_samples_per_video=max_samples_per_video)
        self.segment_seconds, self.max_samples = segment_seconds, max_samples_per_video
        self.segment_stride = segment_stride or segment_seconds
        self._excluded: dict[str, list[Segment]] = {}
        super().__init__(**kwargs)

    def _samples(self, records: Sequence[dict], durations: Sequence[float | None],
                 remedy: str = '') -> Any:
        """A record per sample, of a record per video."""
        seconds, stride = self.segment_seconds, self.segment_stride
        self.bad_videos = BadVideos(self.source, self.max_bad_share, remedy)
        if seconds is None or stride is None:
            return records
        samples = []
        for record, duration in zip(records, durations, strict=True):
            segments = cut_segments(duration or 0, seconds, stride)
            left = [segment for segment in segments or [(0, math.inf)] if not any(
                segment[0] < end and begin < segment[1]
                for begin, end in self._excluded.get(record['filename'], ()))]
            if not segments:
                samples += [record] * len(left)
                continue
            self.bad_videos.segments[record['filename']] = segments
            count = min(len(left), self.max_samples or len(left))
            cuts = [k * len(left) // count for k in range(count + 1)] if count else []
            samples += [dict(record, segments=left[a:b]) for a, b in pairwise(cuts)]
        self.bad_videos.num_segments = sum(map(len, self.bad_videos.segments.values()))
        print_log(f'{self.source}: {len(samples):,} samples of {len(records):,} videos, cut into '
                  f'segments of {seconds:g} s', 'current')
        return samples

    def get_data_info(self, idx: int) -> dict:
        """The record of one sample; of several segments, one drawn by a :class:`SampleIndex`."""
        info = super().get_data_info(idx)
        if segments := info.pop('segments', None):
            number = len(segments) // 2  # in the middle, for a plain integer
            if isinstance(idx, SampleIndex):
                # Other numbers than the frames and augmentations of the sample are drawn by.
                generator = np.random.default_rng((idx.seed, idx.epoch, idx.origin, 1))
                number = int(generator.integers(len(segments)))
            info['segment'] = segments[number]
        return info


def cut_segments(duration: float, seconds: float, stride: float) -> list[Segment]:
    """Begin and end of each segment, in seconds; none if the video stays whole.

    All have the same length: ``seconds`` or more, so that nothing is left over. The last one ends
    at infinity, since a header may be a frame too short.
    """
    count = round((duration - seconds) / stride) + 1
    if count < 2:
        return []
    length = max(seconds, duration - (count - 1) * stride)
    # Whole milliseconds: errors of floating point must not leave a frame between two segments.
    starts = np.linspace(0, duration - length, count).round(3).tolist()
    ends = [b if abs(a + length - b) < .002 else round(a + length, 3) for a, b in pairwise(starts)]
    return list(zip(starts, [*ends, math.inf], strict=True))


def video_durations(paths: Sequence[str], folder: str | None) -> list[float | None]:
    """Durations in seconds, read by the main process; None for a file that cannot be opened.

    A folder keeps them, each as long as its file keeps its size and modification time, with those
    of at most 100,000 videos that are not among the paths.
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
            others = [item for item in kept.items() if item[0] not in found][-_MOST_OTHERS:]
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
