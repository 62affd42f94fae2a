"""Predicted labels as files: masks, and pictures of some frames."""
import math
from pathlib import Path

import numpy as np
from PIL import Image

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.visualization import draw_grid, write_picture

from .datasets import LabelledVideo, read_frame

COLUMNS, WIDTH = 5, 384  # of a picture: frames, and px of one
DOT = 4  # px around a joint
# The colours of DAVIS and Pascal VOC: the bits of a number, every third one for each channel.
PALETTE = np.stack([sum((np.arange(256) >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
                    for channel in range(3)], axis=1).astype(np.uint8)


def write_masks(paths: list[Path], masks: list[np.ndarray]) -> None:
    """Write masks (H, W), uint8, as PNG files with the palette of DAVIS, as many as paths."""
    for path, mask in zip(paths, masks, strict=False):
        image = Image.fromarray(mask)
        image.putpalette(PALETTE.ravel().tolist())
        with atomic_write(path, sync=False) as part:
            image.save(part, 'PNG')


def draw_labels(path: Path, video: LabelledVideo, predicted: list[np.ndarray]) -> None:
    """Draw some frames of a video, the predictions of :meth:`Davis.predict` over them."""
    chosen = np.unique(np.linspace(0, len(video.frames) - 1, COLUMNS).round().astype(int))
    cells = []
    for number in chosen:
        frame = read_frame(video.frames[number])
        mask = _as_mask(predicted[number], frame.shape)
        frame = np.asarray(Image.fromarray(frame).resize(mask.shape[::-1]))
        mixed = np.where(mask[..., None] > 0, frame // 2 + PALETTE[mask] // 2, frame)
        height = round(WIDTH * mask.shape[0] / mask.shape[1])
        cells.append(np.asarray(Image.fromarray(mixed).resize((WIDTH, height))))
    titles = [f'frame {number + 1}' for number in chosen]
    write_picture(path, draw_grid(titles, [(video.name, [cells])]))


def _as_mask(prediction: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The prediction as a mask; joints are dots."""
    if prediction.dtype == np.uint8:
        return prediction
    mask = np.zeros(shape[:2], np.uint8)
    for number, (x, y) in enumerate(prediction.T, 1):
        if math.isfinite(x):
            top, left = max(0, round(y) - DOT), max(0, round(x) - DOT)
            mask[top:round(y) + DOT + 1, left:round(x) + DOT + 1] = number
    return mask
