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
from vicmae_mm.utils.errors import UserError

PREPARATION = 'short side bicubic, centre crop'  # part of the key of cached features


class DatasetProblem(UserError):
    """A dataset is missing or broken; other datasets can still be measured."""


class Images(Dataset):
    """Images of one split, uint8 (3, S, S) RGB: resized by the short side, centre cropped.

    If one of them is a video, all are two views (2, 3, S, S): its frames at one and three quarters,
    or twice the image. For a video network, views are clips (2, 3, T, S, S), frames four apart.

    Args:
        records: Each with ``img_path``, of an image or a video, or ``img``, see
            :func:`decode_image`.
        targets: Classes (N,), or presence of each class (N, K).
        size: S, or height and width.
        classes: Their names; None if the dataset does not say.
        clip_length: T, for a video network.
    """

    def __init__(self, records: list[dict[str, Any]], targets: Tensor, size: Any,
                 classes: Sequence[str] | None = None, clip_length: int | None = None) -> None:
        self.records, self.targets, self.size, self.classes = records, targets, size, classes
        self.clip_length = clip_length
        self.has_videos = any(map(_is_video, records))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tensor:
        record = self.records[index]
        if _is_video(record):
            return read_views(record['img_path'], self.size, self.clip_length)
        image = decode_image(record['img']) if 'img' in record else _read(record['img_path'])
        prepared = prepare_frame(image, self.size, resize=1)
        if not self.has_videos:
            return prepared
        views = prepared.expand(2, -1, -1, -1)
        return views if self.clip_length is None else views[:, :, None].expand(
            -1, -1, self.clip_length, -1, -1)

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


def read_views(path: str, size: Any, clip_length: int | None = None) -> Tensor:
    """Two frames (2, 3, S, S) of a video, or clips (2, 3, T, S, S), around its quarters.

    Prepared as :class:`Images`.

    Raises:
        DatasetProblem: It cannot be read.
    """
    from mmaction.datasets.transforms import SampleFrames
    sampler = SampleFrames(clip_len=clip_length or 1, frame_interval=4, num_clips=2, test_mode=True)
    try:
        _, frames = read_frames(path, lambda total: sampler(
            dict(total_frames=total, start_index=0))['frame_inds'].tolist())
    except (OSError, ValueError) as error:
        raise DatasetProblem(f'video {path} cannot be read: {error}') from error
    views = torch.stack([prepare_frame(frame, size, resize=1) for frame in frames])
    return views if clip_length is None else views.unflatten(0, (2, -1)).transpose(1, 2)


def _is_video(record: dict[str, Any]) -> bool:
    return record.get('img_path', '').lower().endswith(VIDEO_EXTENSIONS)


def _read(path: str) -> np.ndarray:
    """Pixels (H, W, 3) RGB."""
    try:
        # Pillow, because some .jpg files of SUN397 are of another format; not turned by their
        # Exif tags, as in the papers' loaders.
        return decode_image(path, upright=False)
    except (OSError, ValueError) as error:
        raise DatasetProblem(f'image {path} cannot be read: {error}') from error
