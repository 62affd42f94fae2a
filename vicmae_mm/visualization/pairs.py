"""Pictures of the pairs that a training pipeline draws, next to the frames they are cut from."""
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from vicmae_mm.datasets.readers import VideoError, open_video
from vicmae_mm.datasets.samplers import random_stream
from vicmae_mm.utils.errors import InputError

from .grid import BACKGROUND, draw_grid

TITLES = ('first: whole frame', 'as trained on', 'second: whole frame', 'as trained on')
MAX_ROWS = 4  # frames shown of a clip
NO_PAIRS = ('does not draw pairs of frames: vicmae browse needs a pre-training pipeline, with '
            'SampleFramePair or SampleClipPair, VideoDecode and PackFrames. For images and single '
            "clips there is mmpretrain's browse_dataset.py")


@dataclass(frozen=True)
class TracedSample:
    """A sample, and the frames that it was made of."""

    path: str
    total: int  # number of frames of the video
    fps: float  # on average, 0 if not known
    frames: np.ndarray  # numbers of each view, (V, T): V = 2 for a pair, T = 1 without clips
    whole: list[np.ndarray]  # the decoded frames, uint8 (H, W, 3) RGB, V * T of them
    views: np.ndarray  # what the model gets, uint8 (V, T, h, w, 3)


def trace_sample(dataset: Any, index: int, videos: str = '') -> TracedSample:
    """Run the pipeline of a :class:`VideoPairDataset` or :class:`PackedFrameDataset` step by step.

    A :class:`SampleIndex` as ``index`` gives the sample of training. ``videos`` is the folder of
    the videos that packed frames, which do not store times, were made of.

    Raises:
        VideoError: The video cannot be read.
        ValueError: The pipeline does not draw pairs of frames.
    """
    results = dataset.get_data_info(index)
    whole: list[np.ndarray] = []
    seen: dict[str, Any] = {}
    with random_stream(index):
        for transform in dataset.pipeline.transforms:
            results = transform(results)
            if not isinstance(results, dict):
                raise InputError(f'{transform} {NO_PAIRS}.')
            seen.update(results)
            if not whole and isinstance(results.get('imgs'), list):
                # Copies, because later transforms may change the frames in place.
                whole = [image.copy() for image in results['imgs']]
    views = _pictures(results.get('inputs'))
    # A frame without a partner is a pair of one view, as for the MAE baseline.
    if not whole or views is None or views.shape[0] * views.shape[1] != len(whole):
        raise InputError(f'The pipeline of {type(dataset).__name__} {NO_PAIRS}.')
    frames, path, fps = np.reshape(seen['frame_inds'], views.shape[:2]), seen['filename'], 0.
    if 'avg_fps' in seen:
        fps = seen['avg_fps']
    else:
        with suppress(VideoError), open_video(os.path.join(videos, path)) as video:
            fps = video.fps
    return TracedSample(path, seen['total_frames'], fps, frames, whole, views)


def draw_samples(samples: Sequence[TracedSample]) -> np.ndarray:
    """Draw samples below each other, as uint8 (height, width, 3) RGB.

    Each row has a view's whole frame, smaller, and what the model gets, for both views of a pair.
    """
    height, width = samples[0].views.shape[2:4]
    columns = min(2, samples[0].views.shape[0])
    sections = []
    for sample in samples:
        num_views, length = sample.frames.shape
        shown = np.unique(np.linspace(0, length - 1, min(length, MAX_ROWS)).round().astype(int))
        for first in range(0, num_views, columns):
            pair = range(first, first + columns)
            rows = [[picture for view in pair for picture in (
                np.array(ImageOps.pad(Image.fromarray(sample.whole[view * length + frame]),
                                      (width, height), Image.Resampling.BICUBIC, BACKGROUND)),
                sample.views[view, frame])] for frame in shown]
            sections.append((_caption(sample, pair), rows))
    return draw_grid(TITLES[:2 * columns], sections)


def _pictures(inputs: Any) -> np.ndarray | None:
    """Views (V, T, H, W, 3) of a list of (C, H, W) or (C, T, H, W); None for anything else."""
    if not isinstance(inputs, list) or len({view.shape for view in inputs}) != 1:
        return None
    stacked = torch.stack(inputs)
    if stacked.ndim == 4:
        stacked = stacked.unsqueeze(2)
    return stacked.permute(0, 2, 3, 4, 1).clamp(0, 255).byte().numpy()


def _caption(sample: TracedSample, pair: range) -> str:
    """Path, frame numbers and times of a pair; the path of an image."""
    if sample.total == 1:
        return sample.path
    spans = []
    for view in pair:
        ends = sorted({sample.frames[view, 0], sample.frames[view, -1]})
        spans.append('-'.join(map(str, ends)))
        if sample.fps:
            spans[-1] += f' ({"-".join(f"{number / sample.fps:.2f}" for number in ends)} s)'
    several = 's' if sample.frames[list(pair)].size > 1 else ''
    return f'{sample.path}: frame{several} {" and ".join(spans)} of {sample.total}'
