"""The reconstruction picture of image and video files."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.datasets.readers.image_or_video import prepare_frames, read_frames
from vicmae_mm.utils.errors import InputError
from vicmae_mm.visualization.reconstruction import check_can_reconstruct, draw_reconstruction

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE


def reconstruction_picture(model: ViCMAE, paths: Sequence[str | Path], seed: int = 0,
                           mask_ratio: float | None = None) -> np.ndarray:
    """Draw what a model reconstructs of images and of two frames per video.

    Args:
        model: A model with a decoder, see :func:`load_model`.
        paths: Image and video files.
        seed: Seed of the masks. The same seed gives the same picture.
        mask_ratio: Share of hidden patches; by default the model's own.

    Returns:
        The picture, uint8 (height, width, 3) RGB.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file cannot be read, the model has no decoder or the mask ratio is out
            of range.
    """
    check_can_reconstruct(model)
    inputs = [(caption, prepare_frames(model, frames))
              for caption, frames in map(read_frames, paths)]
    backbone = model.backbone
    before = backbone.mask_ratio
    ratio = before if mask_ratio is None else mask_ratio
    num_patches = backbone.patch_resolution[0] * backbone.patch_resolution[1]
    if not 0 <= ratio < 1 or int(num_patches * (1 - ratio)) < 1:
        raise InputError(f'mask_ratio={ratio} must be in [0, 1) and leave at least one of the '
                         f'{num_patches} patches visible.')
    backbone.mask_ratio = ratio
    # The model is the caller's: it gets its own ratio back.
    try:
        return draw_reconstruction(model, inputs, seed)
    finally:
        backbone.mask_ratio = before
