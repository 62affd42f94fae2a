"""Per-sample random streams for any dataset."""
from collections.abc import Sequence
from typing import Any

from vicmae_mm.datasets.bad_videos.limit import BadVideos
from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping, naming_bad_image
from vicmae_mm.datasets.readers.base import retried
from vicmae_mm.registry import DATASETS

from .innermost import innermost_datasets
from .samplers import SampleIndex, random_stream


@DATASETS.register_module()
class SeededSamples(BadFileSkipping):
    """Wraps any dataset to draw its samples as :class:`VideoPairDataset` does.

    Under ``vicmae_mm.EpochSampler``, all that its transforms draw is a function of (seed, epoch,
    index): the same for any number of workers and processes, and in a resumed run. Wrap it around
    the outermost dataset, for example a ``ConcatDataset`` of images and videos.

    A bad image is also replaced in training, as in :class:`LabelledImages`. It is an error that
    names the file with another sampler, with ``test_mode=True`` of the dataset, and where one of
    several datasets replaces its own bad files.

    Args:
        dataset (Sequence | dict): The dataset, or its config.
        max_bad_share (float, optional): As in :class:`VideoPairDataset`.
    """

    path_key = 'img_path'

    def __init__(self, dataset: Sequence | dict, max_bad_share: float | None = None) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        inner = list(innermost_datasets(self.dataset))
        self.skips = not any(isinstance(item, BadFileSkipping) for item in inner)
        self.test_mode = any(getattr(item, 'test_mode', False) for item in inner)
        self.bad_videos = BadVideos(self.source, max_bad_share, noun='image',
                                    owner='vicmae_mm.SeededSamples around the dataset')

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not set yet while unpickling: would recurse without end
            raise AttributeError(name)
        return getattr(self.dataset, name)  # metainfo, get_cat_ids, ...

    @property
    def source(self) -> str:
        """The list of the files, or without one the name of the dataset's class."""
        return getattr(self.dataset, 'ann_file', '') or type(self.dataset).__name__

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if self.skips and not self.test_mode and isinstance(index, SampleIndex):
            return self._good_sample(index)
        with naming_bad_image(self.get_data_info(index)['img_path']), random_stream(index):
            return self.dataset[index]

    def get_data_info(self, idx: int) -> dict:
        """The record of one sample; its ``img_path`` is '' if it is not of one image file."""
        read = getattr(self.dataset, 'get_data_info', None)
        info = dict(read(idx)) if read else {}
        return dict(info, img_path=str(info.get('img_path') or ''), index=idx)

    @retried
    def _run_pipeline(self, info: dict, index: SampleIndex, stream: int) -> Any:
        inner = SampleIndex(info['index'], index.seed, index.epoch, index.origin)
        with naming_bad_image(info['img_path']), random_stream(index, stream):
            return self.dataset[inner]
