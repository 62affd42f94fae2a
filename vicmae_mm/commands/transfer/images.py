"""Labelled images of a dataset, prepared for the encoder."""
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from vicmae_mm.datasets.readers.image_or_video import decode_image, prepare_frame
from vicmae_mm.utils.errors import UserError

PREPARATION = 'short side bicubic, centre crop'  # part of the key of cached features


class DatasetProblem(UserError):
    """A dataset is missing or broken; other datasets can still be measured."""


class Images(Dataset):
    """Images of one split, uint8 (3, S, S) RGB: resized by the short side, centre cropped.

    Args:
        records: Each with ``img_path`` or ``img`` (H, W, 3) RGB.
        targets: Classes (N,), or presence of each class (N, K).
        size: S, or height and width.
        classes: Their names; None if the dataset does not say.
    """

    def __init__(self, records: list[dict[str, Any]], targets: Tensor, size: Any,
                 classes: Sequence[str] | None = None) -> None:
        self.records, self.targets, self.size, self.classes = records, targets, size, classes

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tensor:
        record = self.records[index]
        image = record['img'] if 'img' in record else _read(record['img_path'])
        return prepare_frame(image, self.size, resize=1)

    def fingerprint(self) -> str:
        """Hash targets, order, and paths, sizes and dates of the files (or the pixels)."""
        content = hashlib.sha256(self.targets.numpy().tobytes())
        for record in self.records:
            if 'img' in record:
                content.update(np.ascontiguousarray(record['img']).tobytes())
                continue
            try:
                # Not the contents: reading a large dataset would take as long as encoding it.
                status = os.stat(record['img_path'])
            except OSError as error:
                raise DatasetProblem(f'image {record["img_path"]}: {error.strerror}') from error
            content.update(
                os.fsencode(f'{record["img_path"]} {status.st_size} {status.st_mtime_ns}'))
        return content.hexdigest()


def _read(path: str) -> np.ndarray:
    """Pixels (H, W, 3) RGB."""
    try:
        # Pillow, because some .jpg files of SUN397 are of another format; not turned by their
        # Exif tags, as in the papers' loaders.
        return decode_image(path, upright=False)
    except (OSError, ValueError) as error:
        raise DatasetProblem(f'image {path} cannot be read: {error}') from error
