"""A dataset of packed frames."""
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.segments import SegmentedDataset
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .index import PackIndex
from .packed_video import PackedVideo
from .remote import RemoteReader
from .storage import RangeReader

REMEDY = 'Copy the shards again, or run vicmae pack again, which rebuilds them'


@DATASETS.register_module()
class PackedFrameDataset(SegmentedDataset):
    """Videos packed by ``vicmae pack``, on a disk or in object storage.

    Records, bad videos and randomness are as in :class:`VideoPairDataset`, except that the pipeline
    opens nothing: it begins with ``vicmae_mm.SampleFramePair`` and ``vicmae_mm.VideoDecode``. A
    record has ``filename`` (the original path, as listed), ``label``, ``modality``,
    ``start_index``, ``sample_idx`` and

    - ``total_frames`` (int): frames in the original video, which sections and gaps refer to;
    - ``stored_frames`` ((K,) int32 array): numbers of the stored frames, ascending;
    - ``stored_times`` ((K,) float64 array): seconds since the first frame of the video; missing in
      packs of older versions;
    - ``video_reader`` (:class:`PackedVideo`).

    In a segment, they are about the part from its first stored frame, ``start_index``, to its last.

    A video is bad if a requested frame is damaged, or if its shard is missing or truncated. Reading
    has no time limit.

    Args:
        data_root (str): Folder of the shards, or a URL that fsspec supports, for example
            ``s3://bucket/folder`` (which needs the package s3fs).
        cache_gb (float): Limit in GB (10^9 bytes) of the copies of remote shards that this machine
            keeps in ``VICMAE_MM_CACHE``, >= 0; 0 for none. Defaults to 100.
        pipeline, segment_seconds, max_bad_share, test_mode, ...: As in :class:`VideoPairDataset`.
            ``metainfo['classes']`` is set to the names of the labels if these were packed.

    Raises:
        FileNotFoundError: There are no packed frames, or all of their shards are missing.
        ValueError: The index is damaged, or an argument is out of range.
        RunError: The storage cannot be reached, or refuses access.
        ImportError: The package for this kind of URL is not installed.
        TooManyBadVideosError: While reading samples.
        RuntimeError: ``max_refetch`` draws gave no usable video.
    """

    # The ledger compares the original video files, which repairing a shard does not change.
    retries_bad_videos = True

    def __init__(self, data_root: str, pipeline: Sequence[dict | Callable] = (),
                 cache_gb: float = 100., **kwargs: Any) -> None:
        if not (type(cache_gb) in (int, float) and cache_gb >= 0):
            raise InputError(f'cache_gb={cache_gb!r} should be a number of gigabytes, 0 or more.')
        self.cache_gb = cache_gb
        super().__init__(data_root=data_root, data_prefix={}, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> Any:
        """Read the index and check that the shards exist."""
        self._shards = RemoteReader(self.data_root, self.cache_gb * 1e9) if (
            '://' in self.data_root) else RangeReader(self.data_root)
        index = self._index = PackIndex(self._shards)
        if not index:
            raise InputError(f'{self.data_root} contains no video: none could be read when packing '
                             '(see bad_videos.jsonl in that folder).')
        self._check_shards(index)
        if index.classes:
            self._metainfo['classes'] = index.classes
        cut = index if self.segment_seconds else ()
        if any(video['total_frames'] > 1 and not video['duration'] for video in cut):
            raise InputError(f'{self.data_root} was packed without the times of frames, which '
                             'segment_seconds needs: pack the videos again, into another folder.')
        # Processes share the index as it is; segments are a list of records.
        self.serialize_data &= self.segment_seconds is not None
        return self._samples(index, [video['duration'] for video in cut], REMEDY)

    def _check_shards(self, index: PackIndex) -> None:
        # Sizes alone: reading 60 GB at every start would take minutes. Frames have checksums.
        sizes = self._shards.sizes()
        wrong = [name for name, size in index.shards if sizes.get(name) != size]
        if not wrong:
            return
        if len(wrong) == len(index.shards):
            raise FileNotFoundError(
                f'None of the {len(wrong):,} shards in {self.data_root} exists with its full size, '
                f'for example {wrong[0]}. {REMEDY}.')
        effect = ('reading from them is an error in test mode' if self.test_mode else
                  'videos that cannot be read from them are skipped and counted as bad')
        print_log(f'{len(wrong):,} of the {len(index.shards):,} shards in {self.data_root} are '
                  f'missing or have the wrong size, for example {wrong[0]}: {effect}. {REMEDY}.',
                  'current', logging.WARNING)

    def get_data_info(self, idx: int) -> dict:
        """The record of one video."""
        info = super().get_data_info(idx)
        del info['duration']
        first = info.pop('first')
        frames = self._index.frames[first:first + info.pop('count')]
        total, info['stored_frames'] = info['total_frames'], frames['number']
        if 'segment' in info:
            frames = frames[slice(*np.searchsorted(frames['time'], info['segment']))]
            numbers = frames['number'].tolist() or [0]
            info.update(start_index=numbers[0], total_frames=numbers[-1] - numbers[0] + 1,
                        stored_frames=frames['number'] - numbers[0])
        if 'time' in (frames.dtype.names or ()) and not np.isnan(frames['time']).any():
            info['stored_times'] = frames['time']
        info['video_reader'] = PackedVideo(info['filename'], total, frames,
                                           self._shards, self._index.shards[info.pop('shard')][0])
        return info

    def _transform(self, info: dict) -> Any:
        if 'segment' in info and len(info['stored_frames']) < 2:
            raise VideoError(info['filename'], 'fewer than two frames are packed of it: pack more '
                             '(--every-seconds), or set a larger segment_seconds')
        return super()._transform(info)
