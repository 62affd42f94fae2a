"""Frozen features of a video over time: of its frames at a rate, or of windows of them."""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vicmae_mm.datasets.readers import open_video
from vicmae_mm.datasets.readers.container import decode_in_order
from vicmae_mm.datasets.readers.image_or_video import prepare_frame
from vicmae_mm.datasets.readers.presentation_times import frames_at
from vicmae_mm.utils.errors import InputError

from .features import encode_views
from .load_backbone import load_backbone

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

ROUNDING = 1.001e-3  # seconds; Matroska has times in milliseconds


class Windows(NamedTuple):
    """What to encode: ``size`` frames, of ``fps`` per second, beginning ``stride`` frames apart."""

    level: str
    fps: float
    size: int
    stride: int
    batch_size: int

    @classmethod
    def of(cls, encoder: Encoder, level: str, fps: float, window: int | None,
           stride: int | None, batch_size: int) -> Windows:
        """Fill in what is None; raise a ValueError if an encoder has no such features."""
        size = (encoder.num_frames or 1) if window is None else window
        made = cls(level, fps, size, size if stride is None else stride, batch_size)
        if not 0 < fps <= 1000 or min(made[2:]) < 1:
            raise InputError(f'fps={fps:g} must be above 0 and at most 1000; window={size}, stride='
                             f'{made.stride} and batch_size={batch_size} must be at least 1.')
        if encoder.num_frames not in (None, size):
            raise InputError(f'window={size}: this encoder takes {encoder.num_frames} frames.')
        if level == 'tokens':
            raise InputError("level='tokens': features over time are vectors, 'cls' or 'avg'.")
        encoder.check_level(level)
        return made


def extract_features_over_time(
        checkpoint: str | Path | Encoder, path: str | Path, fps: float, level: str = 'cls', *,
        window: int | None = None, stride: int | None = None, config: str | Path | None = None,
        device: str | torch.device = 'cpu', batch_size: int = 16) -> tuple[Tensor, np.ndarray]:
    """Encode the frames of a video that are shown at multiples of ``1 / fps`` seconds, each once.

    Args:
        checkpoint: As for :func:`extract_features`, like ``config``, ``device`` and the pixels.
        path: A video.
        fps: Frames per second, at most 1000; a rate above the video's gives all of its frames.
        level: ``'cls'`` or ``'avg'``.
        window: Frames per window, whose features are the mean over its frames; by default 1. A
            video encoder takes windows of its number of frames.
        stride: Frames from the start of a window to that of the next; by default ``window``.
        batch_size: Frames, or clips, per forward pass.

    Returns:
        Features (T, C) of all complete windows, float32, on the CPU, and times (T, 2): seconds from
        the first frame of the video to the first and to the last frame of each window.

    Raises:
        VideoError: If it is not a video, or cannot be decoded to its end.
        ValueError: If it is shorter than a window, or a setting cannot be used.
    """
    encoder = (load_backbone(checkpoint, config, device)
               if isinstance(checkpoint, (str, Path)) else checkpoint.eval())
    times, vectors = encode_over_time(
        encoder, path, Windows.of(encoder, level, fps, window, stride, batch_size))
    return torch.stack([*vectors]), times


def encode_over_time(encoder: Encoder, path: str | Path,
                     windows: Windows) -> tuple[np.ndarray, Iterator[Tensor]]:
    """The times (T, 2), and T vectors (C,), a batch of which is computed when it is needed."""
    path, (level, fps, size, stride, batch_size) = str(Path(path).expanduser()), windows
    with open_video(path) as video:
        frames = frames_at(video.frame_times, 1 / fps, ROUNDING)
        times = video.frame_times[frames]
    starts = np.arange(0, len(frames) - size + 1, stride)
    if not len(starts):
        raise InputError(f'{path} has {len(frames)} frames at {fps:g} per second, fewer than a '
                         f'window of {size}.')
    inputs = (prepare_frame(frame, encoder.image_size)[None]
              for frame in decode_in_order(path, frames[:starts[-1] + size].tolist()))
    if encoder.num_frames:  # (1, 3, size, S, S)
        inputs = (torch.stack(clip, dim=2) for clip in _slide(inputs, size, stride))
    batches = iter(lambda: [*islice(inputs, batch_size)], [])
    vectors = (vector for batch in batches for vector in encode_views(encoder, batch, level))
    if not encoder.num_frames:
        vectors = (torch.stack(window).mean(dim=0) for window in _slide(vectors, size, stride))
    return np.stack([times[starts], times[starts + size - 1]], axis=1), vectors


def _slide(items: Iterator[Tensor], size: int, stride: int) -> Iterator[list[Tensor]]:
    """Lists of ``size`` consecutive items."""
    kept: deque[Tensor] = deque(maxlen=size)
    for end, item in enumerate(items, 1):
        kept.append(item)
        if end >= size and (end - size) % stride == 0:
            yield [*kept]
