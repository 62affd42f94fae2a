"""A dataset that draws another video in the place of a bad one."""
from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.samplers import SampleIndex, random_stream
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.processes.failed_call import FailedCall

from .limit import BadVideos


class SkippingDataset(BaseDataset):
    """What :class:`VideoPairDataset` and :class:`PackedFrameDataset` do alike.

    A subclass reads its videos in ``load_data_list``, which must also set ``bad_videos``. A record
    has the keys of mmaction2's ``VideoDataset``: ``filename``, ``label`` (-1 if there is none),
    ``modality`` ('RGB'), ``start_index`` (0), ``sample_idx``.

    In training, a video for which the pipeline raises :class:`VideoError` is skipped, remembered
    and another is drawn in its place; when their share passes ``max_bad_share``, training stops.
    With ``test_mode=True`` nothing is ever swapped: VideoError passes.

    Args:
        max_bad_share (float): Share of bad videos at which training stops, in [0, 1].
            Defaults to 0.05.
        test_mode (bool): Raise on a bad video. Defaults to False.
        kwargs: As in ``mmengine.dataset.BaseDataset``.

    Raises:
        ValueError: ``max_bad_share`` is out of range.
        TooManyBadVideosError: While reading samples, see above.
        RuntimeError: ``max_refetch`` draws gave no usable video.
    """

    bad_videos: BadVideos
    tries_again = False  # whether the next run tries bad videos again though they did not change

    def __init__(self, *, max_bad_share: float = 0.05, test_mode: bool = False,
                 **kwargs: Any) -> None:
        if not 0 <= max_bad_share <= 1:
            raise InputError(f'max_bad_share={max_bad_share!r} should lie in [0, 1].')
        self.max_bad_share = max_bad_share
        super().__init__(test_mode=test_mode, **kwargs)

    @property
    def source(self) -> str:
        """Where the videos come from, as named in messages."""
        raise NotImplementedError

    def get_data_info(self, idx: int) -> dict:
        """The record of one video."""
        info = super().get_data_info(int(idx))
        info.update(modality='RGB', start_index=0)
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label, for mmengine's ``ClassBalancedDataset``."""
        return [self.get_data_info(idx)['label']]

    def __getitem__(self, idx: int) -> Any:
        """One sample; in training, of another video if this one is bad.

        Args:
            idx (int): Index, or :class:`SampleIndex`.

        Returns:
            dict: What the pipeline makes of the record.
        """
        if not self._fully_initialized:
            self.full_init()
        if self.test_mode:
            with random_stream(idx):
                return self.pipeline(self.get_data_info(idx))
        index = _with_streams(idx)
        for attempt in range(self.max_refetch + 1):
            # Streams of their own for each attempt: a sample must not depend on how far
            # the pipeline got with a bad video, or on whether it was known already.
            candidate = int(index)
            if attempt > 0:
                with index.random_stream(2 * attempt - 1):
                    candidate = int(self._rand_another())
            sample = self._read(candidate, index, 2 * attempt)
            if sample is not None:
                return sample
        raise RunError(
            f'{self.source}: no usable video for index {int(idx)} in {attempt + 1} draws '
            f'({len(self.bad_videos):,} of {len(self):,} videos are known to be bad). If the '
            'videos are good, a transform of the pipeline returns None too often.')

    def _read(self, candidate: int, index: SampleIndex, stream: int) -> Any:
        """The sample of exactly this video; None if it is bad or the pipeline rejects it."""
        info = self.get_data_info(candidate)
        path = info['filename']
        if path in self.bad_videos:
            return None
        try:
            sample = self._run_pipeline(info, index, stream)
        except VideoError as error:
            self.bad_videos.add(path, error.reason, self.tries_again)
        else:
            if not isinstance(sample, FailedCall):
                return sample
            self.bad_videos.add(path, sample.reason, try_again=True)
        self.bad_videos.check(len(self))
        return None

    def _run_pipeline(self, info: dict, index: SampleIndex, stream: int) -> Any:
        return run_seeded(self.pipeline, info, index, stream)

    def share_bad_videos(self, ledger_path: str) -> None:
        """Write bad videos to a file all processes share; call it before workers start.

        Args:
            ledger_path (str): ``bad_videos.jsonl`` of the run; its entries of an earlier run
                count as well while the files they name are unchanged.

        Raises:
            TooManyBadVideosError: Those alone are over the limit.
        """
        if not self._fully_initialized:
            self.full_init()
        self.bad_videos.share(ledger_path, self._filenames)
        self.bad_videos.check(len(self))

    def _filenames(self) -> set[str]:
        return {self.get_data_info(idx)['filename'] for idx in range(len(self))}


def run_seeded(pipeline: Callable, info: dict, index: SampleIndex, stream: int) -> Any:
    """What a pipeline makes of a record, on a random stream of the index."""
    with index.random_stream(stream):
        return pipeline(info)


def _with_streams(idx: int) -> SampleIndex:
    """The index; one that names no streams is given those that the process's generator draws."""
    if isinstance(idx, SampleIndex):
        return idx
    return SampleIndex(idx, *np.random.randint(2**31, size=3).tolist())
