"""Per-sample random streams for any dataset."""
from collections.abc import Sequence
from typing import Any

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.image_or_video import image_problem
from vicmae_mm.registry import DATASETS

from .samplers import random_stream


@DATASETS.register_module()
class SeededSamples:
    """Wraps any dataset to draw its samples as :class:`VideoPairDataset` does.

    Under ``vicmae_mm.EpochSampler``, all that its transforms draw is a function of (seed, epoch,
    index): the same for any number of workers and processes, and in a resumed run. Wrap it around
    the outermost dataset, for example a ``ConcatDataset`` of images and videos.

    An image that cannot be read is an error that names it; :class:`LabelledImages` replaces it.

    Args:
        dataset (Sequence | dict): The dataset, or its config.
    """

    def __init__(self, dataset: Sequence | dict) -> None:
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not set yet while unpickling: would recurse without end
            raise AttributeError(name)
        return getattr(self.dataset, name)  # metainfo, get_cat_ids, ...

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            with random_stream(index):
                return self.dataset[index]
        except Exception:
            # The loaders of mmpretrain's datasets do not name a file that they cannot read.
            info = self.dataset.get_data_info(index) if hasattr(
                self.dataset, 'get_data_info') else {}
            path = str(info.get('img_path', ''))
            problem = image_problem(path) if path and '://' not in path else ''
            if not problem:
                raise
        raise VideoError(path, problem)
