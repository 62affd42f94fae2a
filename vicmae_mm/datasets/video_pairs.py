"""A dataset of videos for training on pairs of frames, which tolerates bad files."""
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.logging import print_log

from vicmae_mm.datasets.annotations.list_index import ListIndex, kept_index, make_index
from vicmae_mm.datasets.annotations.video_lists import find_files
from vicmae_mm.datasets.bad_videos.ledger import read_bad_videos
from vicmae_mm.datasets.bad_videos.skipping_dataset import run_seeded
from vicmae_mm.datasets.transforms.decoding import VideoInit
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.home_folder import expand_home
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction

from .samplers import SampleIndex
from .segments import SegmentedDataset, video_durations


@DATASETS.register_module()
class VideoPairDataset(SegmentedDataset):
    """Videos from a list, a csv file or a folder, with or without labels.

    A record has the keys of mmaction2's ``VideoDataset``, for its transforms: ``filename``,
    ``label`` (-1 for none), ``modality`` ('RGB'), ``start_index`` (0), ``sample_idx``.

    **Bad videos.** In training, a video is bad if the pipeline, which runs in a subprocess, raises
    :class:`VideoError`, takes longer than ``decode_timeout`` or crashes. Another one is drawn in
    its place, and ``vicmae_mm.BadVideoHook`` records it (docs/data.md). Any other exception is
    raised.

    **Long videos.** With ``segment_seconds``, a video is one sample per segment, and a segment that
    does not decode is bad on its own. Durations are kept in ``index_dir`` of ``VideoInit``.

    **Randomness.** Given a :class:`SampleIndex` (``vicmae_mm.EpochSampler``), frames, augmentations
    and the replacement of a bad video are functions of (seed, epoch, index). Given an ``int``, they
    depend on the process's numpy generator, and in test mode on all its generators. (One exception:
    a file of which only some frames decode is skipped by a process once it has failed there.)

    Args:
        ann_file (str): Text list or ``.csv`` in the format of :func:`read_annotations`, relative
            to ``data_root``. Empty: every video below the folder ``data_prefix['video']``.
        data_root (str): Root of ``ann_file`` and ``data_prefix``.
        data_prefix (dict): ``dict(video=...)``, the folder that paths are relative to.
        pipeline (Sequence): Transforms.
        labels_from_folders (bool): Without ``ann_file``: label videos by their top-level folder;
            ``metainfo['classes']`` is set to the folders' names.
        exclude_file (str): A ``bad_videos.jsonl`` of ``vicmae check-videos`` or of an
            earlier run, relative to the current folder. Its videos, and segments that overlap those
            it names, are left out while the files are unchanged.
        allow_outside_root (bool): Allow a list to name files outside of both ``data_root`` and
            ``data_prefix``.
        segment_seconds (float, optional): Length of a segment, > 0; docs/long_videos.md says how
            many a video has. Defaults to None, all stay whole.
        segment_stride (float, optional): Distance of segments, > 0. Defaults to their length.
        max_samples_per_video (int, optional): At most so many samples, >= 1: each draws one of an
            equal share of the segments in every epoch. Defaults to None, a sample per segment.
        max_bad_share (float, optional): Share of bad videos, or segments, in [0, 1] above which
            training stops. A video that cannot be opened at the start is one sample, later as many
            as its segments. Defaults to None: 0.05, and in small folders up to three, as long as
            most are good.
        decode_timeout (float, optional): Seconds per video for the pipeline in training, at most a
            day. None: no limit and no subprocess. Defaults to 60.
        test_mode (bool): Raise an error for a bad video instead of replacing it. Defaults to False.
        metainfo, indices, serialize_data, lazy_init, max_refetch: As in
            ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: The list, the folder, or every video that was checked is missing.
        ValueError: The list or folder contains no video, a label is not an integer, a path is
            outside of the data, or an argument is out of range.
        TooManyBadVideosError: While reading samples.
        RuntimeError: ``max_refetch`` draws gave no usable video.
    """

    def __init__(self, ann_file: str = '', data_root: str = '',
                 data_prefix: Mapping[str, str] | None = None,
                 pipeline: Sequence[dict | Callable] = (), labels_from_folders: bool = False,
                 exclude_file: str = '', allow_outside_root: bool = False,
                 decode_timeout: float | None = 60., **kwargs: Any) -> None:
        if ann_file and labels_from_folders:
            raise InputError('labels_from_folders=True labels the videos of a folder, but ann_file '
                             f'is {ann_file!r}, a list with its own labels. Leave one out.')
        if data_prefix is not None and {*data_prefix} != {'video'}:
            raise InputError(f'data_prefix={data_prefix!r} should be dict(video=FOLDER).')
        if decode_timeout is not None and not (
                isinstance(decode_timeout, (int, float)) and 0 < decode_timeout <= 86400):
            raise InputError(f'decode_timeout={decode_timeout!r} should be a number of seconds, '
                             'above 0 and at most 86400 (a day), or None for no limit.')
        self.labels_from_folders = labels_from_folders
        self.exclude_file = expand_home(exclude_file)
        self.allow_outside_root = allow_outside_root
        self.decode_timeout = decode_timeout
        self._isolated: IsolatedFunction | None = None
        self._isolated_pipeline: Callable | None = None
        super().__init__(
            ann_file=ann_file, data_root=data_root,
            data_prefix=dict(video='') if data_prefix is None else dict(data_prefix),
            pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> Sequence[dict]:
        folder = self.data_prefix['video']
        if not self.ann_file and not folder:
            raise InputError('VideoPairDataset has nothing to read: set ann_file to a list of '
                             "videos, or data_prefix=dict(video=...) to a folder of them.")
        listed, classes = find_files(self.ann_file, folder, self.data_root, self.allow_outside_root,
                                     self.test_mode, self.labels_from_folders)
        if classes:
            self._metainfo['classes'] = classes
        videos = self._without_excluded(listed) if self.exclude_file else listed
        videos.names = 'filename', 'label'
        durations = [] if self.segment_seconds is None else video_durations(
            [video['filename'] for video in videos], self._index_dir())
        samples = self._samples(videos, durations)
        self.serialize_data &= isinstance(samples, list)  # processes share an index as it is
        if not samples:
            raise InputError(f'{self.exclude_file} names all {len(listed):,} videos of '
                             f'{self.source} as bad: none is left to read.')
        return samples

    def _index_dir(self) -> str | None:
        steps = self.pipeline.transforms
        folders = [step.index_dir for step in steps if isinstance(step, VideoInit)]
        if steps and not folders:
            raise InputError('segment_seconds needs vicmae_mm.VideoInit in the pipeline: other '
                             'transforms would read the whole video for each of its segments.')
        if None in folders:
            print_log(f'{self.source}: every pair reads the whole file that its segment is in. Set '
                      "index_dir of VideoInit (with its backend 'pyav') to True or a folder, in "
                      'which files are indexed once.', 'current', logging.WARNING)
        return folders[0] if folders else None

    def _without_excluded(self, videos: ListIndex) -> ListIndex:
        known = read_bad_videos(self.exclude_file, (path for path, _ in videos))
        for part in known:
            if not isinstance(part, str):
                self._excluded.setdefault(part[0], []).append(part[1])
        # A video that is not cut would be read where it is damaged, too.
        whole = {part for part in known if isinstance(part, str)} | (
            set() if self.segment_seconds else self._excluded.keys())
        kept = kept_index(self.ann_file, (self.ann_file, videos.folder, *sorted(whole)), lambda:
                          make_index(file for file in videos if file[0] not in whole))
        parts = f' and segments of {len(self._excluded):,} others' * bool(
            self._excluded and self.segment_seconds)
        print_log(f'{len(videos) - len(kept):,} of the {len(videos):,} videos of {self.source}'
                  f'{parts} are left out: {self.exclude_file} names them as bad.', 'current')
        return kept

    def _run_pipeline(self, info: dict, index: SampleIndex, stream: int) -> Any:
        if self.decode_timeout is None:
            return super()._run_pipeline(info, index, stream)
        # mmpretrain's SwitchRecipeHook replaces the pipeline; a subprocess keeps the one it has.
        if self._isolated is None or self._isolated_pipeline is not self.pipeline:
            self._isolated_pipeline = self.pipeline
            self._isolated = IsolatedFunction(
                partial(run_seeded, self.pipeline), self.decode_timeout)
        return self._isolated(info, index, stream)
