"""Datasets that replace a bad video, or a bad image, with another one."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from vicmae_mm.datasets.readers import MachineError, VideoError
from vicmae_mm.datasets.readers.base import is_machines, naming_file, retried
from vicmae_mm.datasets.readers.image_or_video import image_problem
from vicmae_mm.datasets.samplers import SampleIndex, random_stream
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.home_folder import expand_home
from vicmae_mm.utils.processes.pool import FailedCall

from .ledger import Part
from .limit import BadVideos


class BadFileSkipping:
    """Base of the datasets that skip bad files, after the class with their other methods."""

    bad_videos: BadVideos
    retries_bad_videos = False  # whether the next run tries bad videos again if unchanged
    path_key = 'filename'  # of a record
    get_data_info: Callable[[int], dict]  # the record of one file, with its path
    # The sample of a record, made with one of the index's random streams.
    _run_pipeline: Callable[[dict, SampleIndex, int], Any]
    test_mode = False
    max_refetch = 1000  # mmengine's default

    @property
    def source(self) -> str:
        """The list or folder of the files, for messages."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def _good_sample(self, index: SampleIndex) -> Any:
        """The sample of this file; of another one if it is bad."""
        for attempt in range(self.max_refetch + 1):
            # Each attempt has its own streams (even: pipeline, odd: choice of a file), because a
            # sample must not depend on how far the pipeline got with a bad file, nor on whether
            # this process already knew that it was bad.
            candidate = int(index)
            if attempt > 0:
                with random_stream(index, 2 * attempt - 1):
                    candidate = np.random.randint(0, len(self))
            sample = self._read(candidate, index, 2 * attempt)
            if sample is not None:
                return sample
        raise RunError(
            f'{self.source}: no usable {self.bad_videos.noun} for index {int(index)} in '
            f'{attempt + 1} draws ({len(self.bad_videos):,} of {len(self):,} {self.bad_videos.noun}'
            's are known to be bad). If they are good, a transform in the pipeline returns None '
            'too often.')

    def part_of(self, info: dict) -> Part:
        """What the ``bad_videos`` know: the file of a record, or the segment of it."""
        path = info[self.path_key]
        return (path, info['segment']) if 'segment' in info else path

    def _read(self, candidate: int, index: SampleIndex, stream: int) -> Any:
        """The sample of this file; None if it is bad or the pipeline rejects it."""
        info = self.get_data_info(SampleIndex(candidate, index.seed, index.epoch, index.origin))
        path, part = info[self.path_key], self.part_of(info)
        if part in self.bad_videos:
            return None
        try:
            sample = self._run_pipeline(info, index, stream)
        except VideoError as error:
            self.bad_videos.add(path if error.whole_file else part, error.reason,
                                self.retries_bad_videos, isinstance(error, MachineError))
        else:
            if not isinstance(sample, FailedCall):
                self.bad_videos.forget(path, part)
                return sample
            # A crash or a timeout can be the machine's fault, so the next run tries it again.
            self.bad_videos.add(part, sample.reason, try_again=True)
        self.bad_videos.check(len(self))
        return None

    def share_bad_videos(self, ledger_path: str) -> None:
        """Record bad files in a file that all processes share; call it before workers start.

        Entries of an earlier run count while the files they name are unchanged; these alone may
        raise TooManyBadVideosError.
        """
        total = len(self)  # loads the records
        # A function, because it reads every record.
        self.bad_videos.share(ledger_path, lambda: (record[self.path_key] for record in (
            vars(self).get('data_list') or map(self.get_data_info, range(total)))))
        self.bad_videos.check(total)


class SkippingDataset(BaseDataset, BadFileSkipping):
    """Base class of :class:`VideoPairDataset`, :class:`PackedFrameDataset` and the image datasets.

    A subclass reads its files in ``load_data_list``, and sets ``bad_videos`` by then.

    In training, a video for which the pipeline raises :class:`VideoError` is recorded as bad, and
    another one is drawn in its place. With ``test_mode=True`` the error is raised. The subclasses
    describe the arguments and errors.
    """

    constants: dict[str, Any] = dict(modality='RGB', start_index=0)  # added to each record

    def __init__(self, *, max_bad_share: float | None = None, test_mode: bool = False,
                 **kwargs: Any) -> None:
        if max_bad_share is not None and not (
                isinstance(max_bad_share, (int, float)) and 0 <= max_bad_share <= 1):
            raise InputError(f'max_bad_share={max_bad_share!r} should be in [0, 1].')
        self.max_bad_share = max_bad_share
        super().__init__(test_mode=test_mode, **expand_home(kwargs))

    @property
    def source(self) -> str:
        """The list, or without one the folder."""
        return self.ann_file or next(iter(self.data_prefix.values()), self.data_root)

    def get_data_info(self, idx: int) -> dict:
        return {**super().get_data_info(int(idx)), **self.constants}

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label, for mmengine's ``ClassBalancedDataset``."""
        info = self.get_data_info(idx)
        return [info['label'] if 'label' in info else info['gt_label']]

    def __getitem__(self, idx: int) -> Any:
        """The pipeline's result for one video; in training, for another one if that is bad."""
        if not self._fully_initialized:
            self.full_init()
        if self.test_mode:
            with random_stream(idx):
                return self._transform(self.get_data_info(idx))
        if not isinstance(idx, SampleIndex):
            idx = SampleIndex(idx, *np.random.randint(2**31, size=3).tolist())
        return self._good_sample(idx)

    def _run_pipeline(self, info: dict, index: SampleIndex, stream: int) -> Any:
        return run_seeded(self._transform, info, index, stream)

    def _transform(self, info: dict) -> Any:
        return self.pipeline(info)


def run_seeded(pipeline: Callable, info: dict, index: SampleIndex, stream: int) -> Any:
    """Run a pipeline on a record with one of the index's random streams."""
    with random_stream(index, stream):
        return pipeline(info)


class SkippingImages(SkippingDataset):
    """Base class of our image datasets; mmpretrain's class comes after it.

    An image whose file is missing, empty, not an image or damaged is treated as a bad video is:
    replaced and counted in training, an error that names it with ``test_mode=True``; so is one
    that the machine fails to read, but the next run tries it again. Other errors are raised.
    """

    path_key = 'img_path'
    constants: dict[str, Any] = {}

    def full_init(self) -> None:
        if not self._fully_initialized:
            self.bad_videos = BadVideos(self.source, self.max_bad_share, noun='image')
        super().full_init()

    @retried
    def _transform(self, info: dict) -> Any:
        with naming_bad_image(info[self.path_key]):
            return super()._transform(info)


@contextmanager
def naming_bad_image(path: str) -> Iterator[None]:
    """Raise a VideoError for any error that is due to the image file; '' for no file."""
    try:
        yield
    except Exception as error:  # each loader raises another type
        if path and '://' not in path:
            with naming_file(path):
                if is_machines(error):
                    raise
                problem = image_problem(path)
            if problem:
                raise VideoError(path, problem) from None
        raise
