"""Frozen features of a video over time: of its frames at a rate, or of windows of them."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

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
VideoEncoding: TypeAlias = Callable[[str], tuple[np.ndarray, Iterator[Tensor]]]


def extract_features_over_time(checkpoint: str | Path | Encoder, path: str | Path, fps: float,
                               level: str = 'cls', *, config: str | Path | None = None,
                               device: str | torch.device = 'cpu',
                               **settings: Any) -> tuple[Tensor, np.ndarray]:
    """Encode the frames of a video that are shown at multiples of ``1 / fps`` seconds, each once.

    Args:
        checkpoint: As for :func:`extract_features`, like ``config``, ``device`` and the pixels.
        path: A video.
        fps: Frames per second, at most 1000; a rate above the video's gives all of its frames.
        level: ``'cls'`` or ``'avg'``.
        settings: ``window``, ``stride`` and ``batch_size`` of :func:`encoding_over_time`.

    Returns:
        Features (T, C) of all complete windows, float32, on the CPU, and times (T, 2): seconds from
        the first frame of the video to the first and to the last frame of each window.

    Raises:
        VideoError: If it is not a video, or cannot be decoded to its end.
        ValueError: If it is shorter than a window, or a setting cannot be used.
    """
    encoder = (load_backbone(checkpoint, config, device)
               if isinstance(checkpoint, (str, Path)) else checkpoint.eval())
    times, vectors = encoding_over_time(encoder, fps, level, **settings)(
        str(Path(path).expanduser()))
    return torch.stack([*vectors]), times


def encoding_over_time(encoder: Encoder, fps: float, level: str, window: int | None = None,
                       stride: int | None = None, batch_size: int = 16) -> VideoEncoding:
    """A function of a video: its times (T, 2), and its T vectors (C,), computed when needed.

    Args:
        window: Frames per window, whose features are the mean over its frames; by default 1. A
            video encoder takes windows of its number of frames.
        stride: Frames from the start of a window to that of the next; by default ``window``.
        batch_size: Frames, or clips, per forward pass.

    Raises:
        ValueError: An encoder has no such features.
    """
    size = (encoder.num_frames or 1) if window is None else window
    step = size if stride is None else stride
    if not 0 < fps <= 1000 or min(size, step, batch_size) < 1:
        raise InputError(f'fps={fps:g} must be above 0 and at most 1000; window={size}, stride='
                         f'{step} and batch_size={batch_size} must be at least 1.')
    if encoder.num_frames not in (None, size):
        raise InputError(f'window={size}: this encoder takes {encoder.num_frames} frames.')
    if level == 'tokens':
        raise InputError("level='tokens': features over time are vectors, 'cls' or 'avg'.")
    encoder.check_level(level)

    def encode(path: str) -> tuple[np.ndarray, Iterator[Tensor]]:
        with open_video(path) as video:
            frames = frames_at(video.frame_times, 1 / fps, ROUNDING)
            times = video.frame_times[frames]
        starts = np.arange(0, len(frames) - size + 1, step)
        if not len(starts):
            raise InputError(f'{path} has {len(frames)} frames at {fps:g} per second, fewer than a '
                             f'window of {size}.')
        inputs = (prepare_frame(frame, encoder.image_size)[None]
                  for frame in decode_in_order(path, frames[:starts[-1] + size].tolist()))
        if encoder.num_frames:  # (1, 3, size, S, S)
            inputs = (torch.stack(clip, dim=2) for clip in _slide(inputs, size, step))
        batches = iter(lambda: [*islice(inputs, batch_size)], [])
        vectors = (vector for batch in batches for vector in encode_views(encoder, batch, level))
        if not encoder.num_frames:
            vectors = (torch.stack(each).mean(dim=0) for each in _slide(vectors, size, step))
        return np.stack([times[starts], times[starts + size - 1]], axis=1), vectors

    return encode


def _slide(items: Iterator[Tensor], size: int, step: int) -> Iterator[tuple[Tensor, ...]]:
    """Consecutive items, of which at most ``size + step`` are held."""
    return zip(*(islice(each, first, None, step) for first, each in enumerate(tee(items, size))),
               strict=False)
