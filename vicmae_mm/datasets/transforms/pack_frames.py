"""Packing frames as tensors."""
import os
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np
import torch
from mmpretrain.datasets.transforms import PackInputs

from vicmae_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackFrames(PackInputs):
    """mmpretrain's ``PackInputs``, in a third of the time for uint8 images; adds a ``video_id``.

    Clips are views too: the array of mmaction2's ``FormatShape(input_format='NCTHW')`` is packed as
    a list with one tensor per clip.

    Required Keys: ``imgs`` (list of (H, W, C) arrays, or an array (clips, C, T, H, W)), and
    optionally ``filename`` and the keys to pack along.

    Added Keys: ``inputs`` (list of (C, H, W) or (C, T, H, W) tensors), ``data_samples``,
    with the :func:`video_id` of ``filename``, which the segments of a video share.

    Args:
        input_key (str): Key of the images. Defaults to 'imgs'.
        algorithm_keys, meta_keys (Sequence[str]): As in ``PackInputs``.
    """

    def __init__(self, input_key: str = 'imgs', **kwargs: Any) -> None:
        super().__init__(input_key, **kwargs)

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        if filename := results.get('filename'):
            packed['data_samples'].set_metainfo(dict(video_id=video_id(filename)))
        return packed

    @staticmethod
    def format_input(input_: Any) -> Any:
        """Convert (H, W, C) uint8 arrays, lists of them, and clips; all else as ``PackInputs``."""
        if isinstance(input_, list):
            return [PackFrames.format_input(item) for item in input_]
        if isinstance(input_, np.ndarray) and input_.dtype == np.uint8 and input_.ndim == 3:
            # (C, H, W), faster than by copying the transposed array
            planes = np.empty((input_.shape[2], *input_.shape[:2]), np.uint8)
            cv2.split(np.ascontiguousarray(input_), list(planes))
            return torch.from_numpy(planes)
        if isinstance(input_, np.ndarray) and input_.ndim == 5:
            return list(torch.from_numpy(np.ascontiguousarray(input_)))
        return PackInputs.format_input(input_)


def video_id(filename: str) -> int:
    """A number below 2**63 for a file, the same in every process."""
    path = os.fsencode(os.path.abspath(filename))
    return int.from_bytes(blake2b(path, digest_size=8).digest(), 'big') >> 1
