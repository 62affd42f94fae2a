"""A dataset of packed frames."""
import logging
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.logging import print_log

from vicmae_mm.datasets.bad_videos.limit import BadVideos
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingDataset
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .index import FrameTable, PackIndex, load_index
from .packed_video import PackedVideo
from .storage import RangeReader, file_sizes

REMEDY = 'Copy the shards anew, or let tools/data/pack_frames.py make them anew'


@DATASETS.register_module()
class PackedFrameDataset(SkippingDataset):
    """Videos packed by ``tools/data/pack_frames.py``, on a disk or in object storage.

    Records, bad videos and randomness are those of :class:`VideoPairDataset`, except that nothing
    is opened by the pipeline: it starts with ``vicmae_mm.SampleFramePair``, and
    ``vicmae_mm.VideoDecode`` follows. A record has, besides ``filename`` (the path as it was
    listed), ``label``, ``modality``, ``start_index`` and ``sample_idx``:

    - ``total_frames``: frames of the video that was packed, from which sections and gaps count;
    - ``stored_frames``: (K,) numbers of those there are, ascending;
    - ``video_reader``: :class:`PackedVideo`.

    A frame that is damaged, or whose shard is missing or cut short, makes its video a bad one. The
    next run tries it again, as the shard may have been mended. There is no time limit for reading.

    Args:
        data_root (str): The folder that holds the shards, or a URL of one that fsspec knows, such
            as ``s3://bucket/folder`` (needs the package of that kind of storage: s3fs).
        pipeline (Sequence): Transforms.
        max_bad_share (float): Share of bad videos at which training stops, in [0, 1].
            Defaults to 0.05.
        test_mode (bool): Raise on a bad video. Defaults to False.
        metainfo, indices, serialize_data, lazy_init, max_refetch: As in
            ``mmengine.dataset.BaseDataset``. ``metainfo['classes']`` has the names of the labels
            where they were packed along.

    Raises:
        FileNotFoundError: There are no packed frames, or none of their shards is there.
        ValueError: The index is damaged, or an argument is out of range.
        ImportError: The package for this kind of URL is not installed.
        TooManyBadVideosError: While reading samples.
        RuntimeError: ``max_refetch`` draws gave no usable video.
    """

    tries_again = True

    def __init__(self,
                 data_root: str,
                 pipeline: Sequence[dict | Callable] = (),
                 max_bad_share: float = 0.05,
                 test_mode: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(
            data_root=data_root, data_prefix={}, pipeline=list(pipeline),
            max_bad_share=max_bad_share, test_mode=test_mode, **kwargs)

    @property
    def source(self) -> str:
        """The folder of the shards."""
        return self.data_root

    def load_data_list(self) -> list[dict]:
        """Read the index, and see that the shards are there."""
        index = load_index(self.data_root)
        if not index.videos:
            raise InputError(f'{self.data_root} holds no video: none of those packed could be '
                             'read, see bad_videos.jsonl there.')
        self._check_shards(index)
        if index.classes:
            self._metainfo['classes'] = index.classes
        self.bad_videos = BadVideos(self.source, self.max_bad_share, REMEDY)
        self._shards = RangeReader(self.data_root)
        self._frames = FrameTable(self.data_root, index.num_frames)
        return [dict(filename=video.path, label=video.label, total_frames=video.total_frames,
                     shard=index.shards[video.shard][0], first=video.first, count=video.count)
                for video in index.videos]

    def _check_shards(self, index: PackIndex) -> None:
        sizes = file_sizes(self.data_root)
        wrong = [name for name, size in index.shards if sizes.get(name) != size]
        if not wrong:
            return
        if len(wrong) == len(index.shards):
            raise FileNotFoundError(
                f'None of the {len(wrong):,} shards of {self.data_root} is there in its full '
                f'size, for example {wrong[0]}. {REMEDY}.')
        then = 'is an error in test mode' if self.test_mode else 'are skipped and counted as bad'
        print_log(f'{len(wrong):,} of the {len(index.shards):,} shards of {self.data_root} are '
                  f'missing or not of the size they should have, for example {wrong[0]}: videos '
                  f'that can not be read from them {then}. {REMEDY}.', 'current', logging.WARNING)

    def get_data_info(self, idx: int) -> dict:
        """The record of one video."""
        info = super().get_data_info(idx)
        frames = self._frames.rows(info.pop('first'), info.pop('count'))
        info['stored_frames'] = frames['number']
        info['video_reader'] = PackedVideo(info['filename'], info['total_frames'], frames,
                                           self._shards, info.pop('shard'))
        return info
