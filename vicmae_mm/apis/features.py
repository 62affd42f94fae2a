"""Frozen features of image and video files."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vicmae_mm.datasets.annotations.files_below import files_below, report_scan
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS as IMAGE_EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS
from vicmae_mm.datasets.readers import image_or_video
from vicmae_mm.datasets.readers.image_or_video import ImageInMemory, prepare_frame, read_frames
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress

from .load_backbone import load_backbone

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

CLIP_INTERVAL = 4  # between the frames of a clip: 16 x 4, as for Kinetics
OnBadFile = Callable[[str], object]
FileOrImage: TypeAlias = str | Path | ImageInMemory


class FileFeatures(NamedTuple):
    """Features (F, C), or (F, N, C) for tokens, of F files; float32, on the CPU."""

    features: Tensor
    names: list[str]


def extract_features(checkpoint: str | Path | Encoder, paths: FileOrImage | Iterable[FileOrImage],
                     level: str = 'cls', *, config: str | Path | None = None,
                     device: str | torch.device = 'cpu', batch_size: int = 16, num_frames: int = 8,
                     num_workers: int = 0, on_bad_file: OnBadFile | None = None) -> FileFeatures:
    """Encode image and video files, and images in memory.

    An image encoder sees ``num_frames`` frames of a video, spread over it as by mmaction2's
    ``SampleFrames(clip_len=1, num_clips=num_frames, test_mode=True)``; the features of the video
    are their mean. A video encoder sees the middle clip, with a stride of four frames, and an image
    as a still clip. The short side is resized to 256 / 224 of the input; the centre is cropped.

    Args:
        checkpoint: A checkpoint, or an encoder from :func:`load_backbone`.
        paths: Files; folders, whose images and videos are used at any depth; or images in memory
            of any size, see :func:`decode_image`. A stack (N, ...) is N images.
        level: ``'cls'``: the class token. ``'avg'``: the mean of the patch tokens.
            ``'tokens'``: all tokens, the class token first.
        config: The config of the checkpoint, see :func:`load_backbone`. Ignored for an encoder.
        device: Where to compute. Ignored for an encoder, which stays where it is.
        batch_size: Files per forward pass.
        num_frames: Frames per video, for an image encoder.
        num_workers: Processes that read files; 0 reads in this process.
        on_bad_file: Called with the message about a file that is left out; by default, an error.

    Returns:
        The features, and the names of their files, which are the paths in the order given. An image
        in memory is named after its position among the files, ``'image 0'``.

    Raises:
        FileNotFoundError: If a path, the checkpoint or its config does not exist.
        ValueError: If files cannot be read, a folder contains none, or the checkpoint is refused.
    """
    if batch_size < 1 or num_frames < 1 or num_workers < 0:
        raise InputError(f'batch_size={batch_size}, num_frames={num_frames} and num_workers='
                         f'{num_workers} must be at least 1, 1 and 0.')
    files = list_files(paths)
    encoder = (load_backbone(checkpoint, config, device)
               if isinstance(checkpoint, (str, Path)) else checkpoint.eval())
    encoder.check_level(level)
    views = _Views(files, encoder.image_size, encoder.num_frames, num_frames)
    loader = DataLoader(views, batch_size, num_workers=num_workers, collate_fn=list)
    with Progress('Encoding', len(files)) as progress:
        features, kept = _encode_batches(encoder, loader, level, progress, on_bad_file)
    if not features:
        raise InputError(f'None of the {len(files)} files can be read.')
    return FileFeatures(torch.cat(features), kept)


def extract_features_over_time(
        checkpoint: str | Path | Encoder, path: str | Path, fps: float, level: str = 'cls', *,
        config: str | Path | None = None, device: str | torch.device = 'cpu',
        window: int | None = None, stride: int | None = None,
        batch_size: int = 16) -> tuple[Tensor, np.ndarray]:
    """Encode frames of a video, ``fps`` per second (:func:`frames_over_time`), or windows of them.

    Args:
        checkpoint: As for :func:`extract_features`, like ``config``, ``device`` and the pixels.
        path: A video.
        fps: Above 0 and at most 1000. A rate above the video's gives all its frames.
        level: ``'cls'`` or ``'avg'``.
        window: Frames per window; its features are the mean over them. By default 1. A video
            encoder needs windows of its own number of frames.
        stride: Frames from the start of a window to that of the next; by default ``window``.
        batch_size: Frames or clips per forward pass.

    Returns:
        Features (T, C) of all complete windows, float32, on the CPU, and times (T, 2) in seconds,
        from the first frame of the video to the first and to the last frame of each window.

    Raises:
        VideoError: If it is not a video, or cannot be decoded to its end.
        ValueError: If it is shorter than a window, or a setting cannot be used.
    """
    encoder = (load_backbone(checkpoint, config, device)
               if isinstance(checkpoint, (str, Path)) else checkpoint.eval())
    times, vectors = encoding_over_time(encoder, fps, level, window, stride, batch_size)(path)
    return torch.stack([*vectors]), times


def encoding_over_time(
        encoder: Encoder, fps: float, level: str, window: int | None, stride: int | None,
        batch_size: int) -> Callable[[str | Path], tuple[np.ndarray, Iterator[Tensor]]]:
    """Check the settings; the result gives times (T, 2) of a video, and T vectors one by one."""
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

    def encode_video(path: str | Path) -> tuple[np.ndarray, Iterator[Tensor]]:
        path = str(Path(path).expanduser())
        times, frames = image_or_video.frames_over_time(path, fps, encoder.image_size)
        if len(times) < size:
            raise InputError(f'{path} has {len(times)} frames at {fps:g} per second, fewer than a '
                             f'window of {size}.')
        inputs = (frame[None] for frame in frames)
        if encoder.num_frames:  # (1, 3, size, S, S)
            inputs = (torch.stack(clip, dim=2) for clip in _windows(inputs, size, step))
        batches = iter(lambda: [*islice(inputs, batch_size)], [])
        vectors = (vector for batch in batches for vector in _encode_views(encoder, batch, level))
        if not encoder.num_frames:
            vectors = (torch.stack(each).mean(dim=0) for each in _windows(vectors, size, step))
        return np.lib.stride_tricks.sliding_window_view(times, size)[::step, [0, -1]], vectors

    return encode_video


def _windows(items: Iterator[Tensor], size: int, step: int) -> Iterator[tuple[Tensor, ...]]:
    each = enumerate(tee(items, size))  # which hold at most size + step items
    return zip(*(islice(item, first, None, step) for first, item in each), strict=False)


def _is_image(value: Any) -> bool:
    # Not an array of paths or a stack of images.
    return isinstance(value, Image.Image) or (isinstance(value, (np.ndarray, Tensor)) and (
        value.ndim < 4 and getattr(value.dtype, 'kind', '') not in ('O', 'S', 'U')))


def list_files(paths: Any, only_videos: bool = False) -> list[Any]:
    """The files at paths; for a folder, every image and video below it, sorted, or every video."""
    extensions = (*(() if only_videos else IMAGE_EXTENSIONS), *VIDEO_EXTENSIONS)
    none = 'no video' if only_videos else 'no image and no video'
    files: list[Any] = []
    for given in [paths] if isinstance(paths, (str, Path)) or _is_image(paths) else paths:
        if _is_image(given):
            with suppress(Exception):  # an array, or a damaged image, which is reported later
                given.load()  # of Pillow: two workers would share the position in its file
            files.append(given)
            continue
        if not isinstance(given, (str, Path)):
            raise InputError(f'A {type(given).__name__} is neither a path nor an image.')
        path = Path(given).expanduser()
        if not str(given):  # for Path, the current folder: a variable of the shell was not set
            raise InputError('A path is empty.')
        if not path.exists():
            raise FileNotFoundError(f'{path} is missing.')
        if path.is_file():  # is used, whatever its suffix
            files.append(str(path))
            continue
        ignored: Counter[str] = Counter()
        found = files_below(str(path), extensions, ignored)
        report_scan(str(path), found, 'videos' if only_videos else 'images or videos', ignored)
        if not found:
            raise InputError(f'There is {none} in {path}.')
        files += [str(path / name) for name in found]
    if not files:
        raise InputError('There are no files to encode.')
    return files


def _encode_batches(encoder: Encoder, loader: DataLoader, level: str, progress: Progress,
                    on_bad_file: OnBadFile | None) -> tuple[list[Tensor], list[str]]:
    """Features of each batch, and the names of the files that could be read."""
    features, names = [], []
    for batch in loader:
        views = []
        for name, prepared in batch:
            is_bad = isinstance(prepared, Exception)
            progress.advance(bad=is_bad)
            if not is_bad:
                views.append(prepared)
                names.append(name)
            elif on_bad_file is None:
                raise prepared
            else:
                on_bad_file(str(prepared))
        if views:
            features.append(_encode_views(encoder, views, level))
    return features, names


@torch.no_grad()
def _encode_views(encoder: Encoder, views: list[Tensor], level: str) -> Tensor:
    """Encode files with several views each (V, 3, ..., S, S): the mean over the views."""
    encoded = encoder(torch.cat(views).to(encoder.mean.device), level).float().cpu()
    return torch.stack([each.mean(dim=0) for each in encoded.split([len(v) for v in views])])


class _Views(Dataset):
    """Views of files and images for an encoder, or what is wrong with them.

    ``size`` is the side of its input in pixels, or height and width. It takes clips of
    ``clip_length`` frames; if that is None it takes images, ``num_views`` frames per video.
    """

    def __init__(self, files: list[Any], size: int | tuple[int, int], clip_length: int | None,
                 num_views: int) -> None:
        from mmaction.datasets.transforms import SampleFrames
        self.files, self.size, self.clip_length = files, size, clip_length
        clip = dict(clip_len=1, num_clips=num_views) if clip_length is None else dict(
            clip_len=clip_length, frame_interval=CLIP_INTERVAL)
        self.sampler = SampleFrames(**clip, test_mode=True)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[str, Tensor | Exception]:
        file = self.files[index]
        name = file if isinstance(file, str) else f'image {index}'
        # Returned, not raised: the other files of the batch are still needed.
        try:
            _, frames = read_frames(file, lambda total: self.sampler(
                dict(total_frames=total, start_index=0))['frame_inds'].tolist())
        except (OSError, ValueError) as error:
            return name, error if name is file else InputError(f'{name}: {error}')
        squares = torch.stack([prepare_frame(frame, self.size) for frame in frames])
        if self.clip_length is None:
            return name, squares
        # An image, one frame, becomes a still clip.
        clip = squares.expand(self.clip_length, -1, -1, -1)
        return name, clip.transpose(0, 1)[None]
