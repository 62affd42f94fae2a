"""Labelled images and videos of a dataset, prepared for the encoder."""
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS
from vicmae_mm.datasets.readers.image_or_video import decode_image, prepare_frame, read_frames
from vicmae_mm.utils.errors import InputError

PREPARATION = 'short side bicubic, centre crop'  # part of the key of cached features


class Images(Dataset):
    """Images of one split, uint8 (3, S, S) RGB: resized by the short side, centre cropped.

    The image of a video is its middle frame. For a network of clips, if there are videos, all are
    clips (3, T, S, S): frames of a video four apart, or a still image.

    Args:
        records: Each with ``img_path``, of an image or a video, or ``img``, as for
            :func:`decode_image`. ``position``, in the video, is 0.5 by default.
        targets: Classes (N,), or presence of each class (N, K).
        size: S, or height and width.
        classes: Their names; None if the dataset does not say.
        clip_length: T, for a network of clips.
    """

    def __init__(self, records: list[dict[str, Any]], targets: Tensor, size: Any,
                 classes: Sequence[str] | None = None, clip_length: int | None = None) -> None:
        self.records, self.targets, self.size, self.classes = records, targets, size, classes
        has_videos = any(is_video(record.get('img_path', '')) for record in records)
        self.clip_length = clip_length if has_videos else None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tensor:
        record, length = self.records[index], self.clip_length
        frames = [decode_image(record['img'])] if 'img' in record else _read(
            record['img_path'], record.get('position', 0.5), length or 1)
        prepared = torch.stack([prepare_frame(frame, self.size, resize=1) for frame in frames])
        return prepared.expand(length, -1, -1, -1).transpose(0, 1) if length else prepared[0]

    def take(self, chosen: Tensor) -> 'Images':
        """Those at some indices (M,)."""
        return Images([self.records[index] for index in chosen.tolist()], self.targets[chosen],
                      self.size, self.classes, self.clip_length)

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
                raise InputError(f'image {record["img_path"]}: {error.strerror}') from error
            content.update(
                os.fsencode(f'{record["img_path"]} {status.st_size} {status.st_mtime_ns}'))
        return content.hexdigest()


def is_video(path: str) -> bool:
    """Whether a file is named like a video."""
    return path.lower().endswith(VIDEO_EXTENSIONS)


def _read(path: str, position: float, length: int) -> list[np.ndarray]:
    """Frames (H, W, 3) RGB: of a video ``length``, around a position; of an image one."""
    def around(total: int) -> list[int]:
        steps = range(-2 * (length - 1), 2 * length, 4)
        return [min(max(int(position * total) + step, 0), total - 1) for step in steps]

    try:
        # Pillow, because some .jpg files of SUN397 are of another format; not turned by their
        # Exif tags, as in the papers' loaders.
        return read_frames(path, around)[1] if is_video(path) else [
            decode_image(path, upright=False)]
    except (OSError, ValueError) as error:
        raise InputError(f'image {path} cannot be read: {error}') from error
