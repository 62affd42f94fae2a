"""Long videos count as many samples: they are cut into segments."""
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from mmengine.logging import print_log

from vicmae_mm.datasets.bad_videos.ledger import Part, Segment
from vicmae_mm.datasets.bad_videos.limit import REMEDY, BadVideos
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingDataset
from vicmae_mm.utils.errors import InputError

from .samplers import SampleIndex

_STREAM = 1  # the draw of a segment must not be the first number that its frames are drawn by


@dataclass(frozen=True)
class SegmentCut:
    """How videos are cut.

    Attributes:
        seconds: Length of a segment, > 0.
        stride: Distance of their beginnings, > 0, in seconds.
        most: Samples of a video, >= 1; None for as many as it has segments.
    """
    seconds: float
    stride: float
    most: int | None = None

    def segments(self, duration: float | None) -> list[Segment]:
        """Begin and end of each segment in seconds; none for a video that stays whole.

        A video of D seconds has ``n = round((D - seconds) / stride) + 1``, at equal distances and
        of equal length: ``seconds`` or, so that nothing is left over, ``D - (n - 1) stride``. The
        last one ends at infinity, since headers may be a frame too short.
        """
        count = 1 if duration is None else round((duration - self.seconds) / self.stride) + 1
        if duration is None or count < 2:
            return []
        length = max(self.seconds, duration - (count - 1) * self.stride)
        # Whole milliseconds: errors of floating point must not leave a frame between two segments.
        starts = np.linspace(0, duration - length, count).round(3).tolist()
        ends = [b if abs(a + length - b) < .002 else round(a + length, 3)
                for a, b in pairwise(starts)]
        return list(zip(starts, [*ends, math.inf], strict=True))


def segment_cut(seconds: float | None, stride: float | None, most: int | None) -> SegmentCut | None:
    """Check the settings of a dataset; None if its videos stay whole."""
    for name, value in (('segment_stride', stride), ('max_samples_per_video', most)):
        if seconds is None and value is not None:
            raise InputError(f'{name}={value!r} has no meaning without segment_seconds, the length '
                             'of the segments that a video is cut into: set it, or leave both out.')
    for name, number in (('segment_seconds', seconds), ('segment_stride', stride)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, (int, float))
                                   or not 0 < number < math.inf):
            raise InputError(f'{name}={number!r} should be a number of seconds above 0.')
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InputError(f'max_samples_per_video={most!r} should be an integer of at least 1.')
    return None if seconds is None else SegmentCut(seconds, stride or seconds, most)


class SegmentedDataset(SkippingDataset):
    """Base class of :class:`VideoPairDataset` and :class:`PackedFrameDataset`.

    With ``segment_seconds``, a sample's record has the key ``segment``: begin and end in seconds
    since the first frame of the video, the end not included. A short video stays whole, without it.
    The two classes describe the arguments.
    """

    def __init__(self, *, segment_seconds: float | None = None,
                 segment_stride: float | None = None, max_samples_per_video: int | None = None,
                 **kwargs: Any) -> None:
        self.segment_cut = segment_cut(segment_seconds, segment_stride, max_samples_per_video)
        super().__init__(**kwargs)

    def _samples(self, records: Sequence[dict], durations: Sequence[float | None],
                 damaged: Mapping[str, Sequence[Segment]], remedy: str = REMEDY) -> list[dict]:
        """A record per sample, of one per video, without the segments known as ``damaged``."""
        self.bad_videos = BadVideos(self.source, self.max_bad_share, remedy)
        cut = self.segment_cut
        if cut is None:
            return list(records)
        self.bad_videos.noun = 'segment'
        samples: list[dict] = []
        for record, duration in zip(records, durations, strict=True):
            segments = [each for each in cut.segments(duration) if not any(
                each[0] < end and begin < each[1]
                for begin, end in damaged.get(record['filename'], ()))]
            samples += _grouped(record, segments, cut.most) if cut.segments(duration) else [record]
            if len(segments) > 1:
                self.bad_videos.num_segments[record['filename']] += len(segments)
        self._num_parts = sum(len(each.get('segments', ' ')) for each in samples)
        print_log(f'{self.source}: {len(samples):,} samples of {len(records):,} videos, cut into '
                  f'segments of {cut.seconds:g} s', 'current')
        return samples

    @property
    def num_parts(self) -> int:
        """Number of segments and whole videos; more than samples if some draw from several."""
        many = self.segment_cut is not None and self.segment_cut.most is not None
        return self._num_parts if many else len(self)

    def parts(self, index: int) -> Iterator[Part]:
        """What the sample may be read from: segments of a video, or a whole one."""
        info = super().get_data_info(index)
        for segment in info.get('segments') or [info.get('segment')]:
            yield info['filename'] if segment is None else (info['filename'], segment)

    def get_data_info(self, idx: int) -> dict:
        """The record of one sample.

        One that has several segments uses one of them in each epoch, drawn for a
        :class:`SampleIndex` by its seed, epoch and origin; for an ``int``, the one in the middle.
        """
        info = super().get_data_info(idx)
        if segments := info.pop('segments', None):
            number = len(segments) // 2
            if isinstance(idx, SampleIndex):
                generator = np.random.default_rng((idx.seed, idx.epoch, idx.origin, _STREAM))
                number = int(generator.integers(len(segments)))
            info['segment'] = segments[number]
        return info


def _grouped(record: dict, segments: list[Segment], most: int | None) -> list[dict]:
    """A record per segment, or per group of segments if there are more than ``most``."""
    count = len(segments)
    if most is None or count <= most:
        return [dict(record, segment=segment) for segment in segments]
    return [dict(record, segments=segments[k * count // most:(k + 1) * count // most])
            for k in range(most)]
