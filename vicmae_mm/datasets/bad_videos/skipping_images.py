"""Image datasets that replace a bad image with another one."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.base import is_machines, naming_file, retried
from vicmae_mm.datasets.readers.image_or_video import image_problem

from .limit import BadVideos
from .skipping_dataset import SkippingDataset

REMEDY = 'Check data_root and data_prefix if files are missing; remove or replace the bad files'


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
            self.bad_videos = BadVideos(self.source, self.max_bad_share, REMEDY, 'image')
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
