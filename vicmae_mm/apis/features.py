"""Frozen features of image and video files."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS
from vicmae_mm.datasets.readers.image_or_video import prepare_frame, read_frames
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress

from .load_backbone import load_backbone

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')
CLIP_INTERVAL = 4  # frames from one to the next of a clip: 16 x 4, as for Kinetics


class FileFeatures(NamedTuple):
    """Features of files.

    Args:
        features: (F, C), or (F, N, C) for tokens; float32, on the CPU.
        names: The F files they are of.
    """

    features: Tensor
    names: list[str]


def extract_features(checkpoint: str | Path | Encoder,
                     paths: str | Path | Iterable[str | Path],
                     level: str = 'cls',
                     *,
                     config: str | Path | None = None,
                     device: str | torch.device = 'cpu',
                     batch_size: int = 16,
                     num_frames: int = 8,
                     num_workers: int = 0,
                     on_bad_file: Callable[[str], object] | None = None) -> FileFeatures:
    """Encode image and video files.

    An image encoder sees ``num_frames`` frames of a video, spread over it as mmaction2's
    ``SampleFrames(clip_len=1, num_clips=num_frames, test_mode=True)`` does; the features of the
    video are the mean of theirs, at every level. A video encoder sees the middle clip, 16 frames
    four apart for one of 16 frames, and an image as a clip that stands still.
    Everything is resized to 256 / 224 of the encoder's input on the short side, and the centre
    cropped.

    Args:
        checkpoint: A checkpoint, or an encoder from :func:`load_backbone`.
        paths: Files, or folders of which every image and video is meant, at any depth.
        level: ``'cls'``: the class token. ``'avg'``: the mean of the patch tokens.
            ``'tokens'``: all tokens, the class token first.
        config: The config of the checkpoint, see :func:`load_backbone`. Not with an encoder.
        device: Where to compute. Not with an encoder, which stays where it is.
        batch_size: Files a forward pass.
        num_frames: Frames of a video, for an image encoder.
        num_workers: Processes that read files; 0 does so in this one.
        on_bad_file: Called with what is wrong with a file that can not be read; the others go
            on. By default it is an error.

    Returns:
        The features, and the names of their files: the paths in the order given.

    Raises:
        FileNotFoundError: If a path, the checkpoint or its config does not exist.
        ValueError: If a file can not be read or none can, a folder holds none, or the
            checkpoint does not fit, see :func:`load_backbone`.
    """
    if batch_size < 1 or num_frames < 1 or num_workers < 0:
        raise InputError(f'batch_size={batch_size}, num_frames={num_frames} and num_workers='
                         f'{num_workers} must be at least 1, 1 and 0.')
    names = list_files([paths] if isinstance(paths, (str, Path)) else paths)
    encoder = (load_backbone(checkpoint, config, device)
               if isinstance(checkpoint, (str, Path)) else checkpoint.eval())
    encoder.check_level(level)
    files = _Files(names, encoder.image_size, encoder.num_frames, num_frames)
    loader = DataLoader(files, batch_size, num_workers=num_workers, collate_fn=list)
    features, kept = [], []
    with Progress('Encoding', len(names)) as progress:
        for batch in loader:
            views = []
            for name, prepared in batch:
                is_bad = isinstance(prepared, Exception)
                progress.advance(bad=is_bad)
                if not is_bad:
                    views.append(prepared)
                    kept.append(name)
                elif on_bad_file is None:
                    raise prepared
                else:
                    on_bad_file(str(prepared))
            if views:
                features.append(_encode_views(encoder, views, level))
    if not features:
        raise InputError(f'None of the {len(names)} files can be read.')
    return FileFeatures(torch.cat(features), kept)


def list_files(paths: Iterable[str | Path]) -> list[str]:
    """The files at paths; of a folder every image and video below it, sorted.

    Raises:
        FileNotFoundError: If there is nothing at a path.
        ValueError: If a folder holds none, or there are no paths.
    """
    files: list[str] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f'{path} is missing.')
        if path.is_file():
            files.append(str(path))
            continue
        inside = sorted(str(file) for file in path.rglob('*') if file.is_file() and
                        file.suffix.lower() in (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS))
        if not inside:
            raise InputError(f'There is no image and no video in {path}.')
        files += inside
    if not files:
        raise InputError('There are no files to encode.')
    return files


@torch.no_grad()
def _encode_views(encoder: Encoder, views: list[Tensor], level: str) -> Tensor:
    """Encode files of some views each (V, 3, ..., S, S): the mean over the views."""
    encoded = encoder(torch.cat(views).to(encoder.mean.device), level).float().cpu()
    return torch.stack([each.mean(dim=0) for each in encoded.split([len(v) for v in views])])


class _Files(Dataset):
    """Views of files for an encoder, or what is wrong with them.

    Args:
        names: Paths.
        size: Side of the encoder's input in pixels.
        clip_length: Frames of a clip; None for an encoder of images.
        num_views: Frames of a video for that.
    """

    def __init__(self, names: list[str], size: int, clip_length: int | None,
                 num_views: int) -> None:
        self.names, self.size, self.clip_length = names, size, clip_length
        clip = dict(num_clips=num_views) if clip_length is None else dict(
            clip_len=clip_length, frame_interval=CLIP_INTERVAL)
        self.choose = partial(_sample, **clip)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[str, Tensor | Exception]:
        name = self.names[index]
        try:
            _, frames = read_frames(name, self.choose)
        except (OSError, ValueError) as error:
            return name, error
        squares = torch.stack([prepare_frame(frame, self.size) for frame in frames])
        if self.clip_length is None:
            return name, squares
        clip = squares.expand(self.clip_length, -1, -1, -1)  # an image stands still
        return name, clip.transpose(0, 1)[None]


def _sample(total: int, clip_len: int = 1, frame_interval: int = 1,
            num_clips: int = 1) -> Sequence[int]:
    """Frame numbers for a number of frames, as mmaction2 samples for testing."""
    from mmaction.datasets.transforms import SampleFrames
    sampler = SampleFrames(clip_len, frame_interval, num_clips, test_mode=True)
    return sampler(dict(total_frames=total, start_index=0))['frame_inds'].tolist()
