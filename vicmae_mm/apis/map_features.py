"""Maps of what the patches of image and video files encode."""
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from vicmae_mm.datasets.readers import open_video
from vicmae_mm.datasets.readers.image_or_video import read_frames
from vicmae_mm.models import Encoder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import track
from vicmae_mm.visualization.feature_maps import MappedFile, principal_colours

from .features import FileOrImage, list_files

MAX_RATIO = 3  # of the sides of the input; longer images are squeezed


@torch.no_grad()
def map_features(encoder: Encoder, paths: FileOrImage | Iterable[FileOrImage], *,
                 point: tuple[float, float] = (0.5, 0.5), size: int | None = None,
                 num_frames: int = 8) -> list[MappedFile]:
    """Map what patches encode, for :func:`draw_feature_maps`.

    A network for clips sees each frame as a still clip. There is no ``'attention'`` map if the
    network has no attention that can be shown.

    Args:
        encoder: From :func:`load_backbone`.
        paths: As for :func:`extract_features`.
        point: The patch (right, down) that all patches of its image are compared with; in a clip,
            one of the first frame. Ints are pixels of the file, floats shares of its sides.
        size: Short side of the input in pixels, rounded to patches; by default that of training.
        num_frames: Frames per clip, evenly spread.

    Errors are those of :func:`extract_features`; also a ValueError if the point is outside.
    """
    built = np.broadcast_to(encoder.image_size, 2)
    # The patch of a Vision Transformer, the stride of another network
    patch = built // encoder.eval().feature_map(torch.zeros(
        1, 3, *built, device=encoder.mean.device)).shape[-2:]
    files, features = [], []
    for number, path in enumerate(track(list_files(paths), 'Encoding')):
        name = Path(path).name if isinstance(path, str) else f'image {number}'
        frames, times = _read(path, num_frames)
        shape = np.array(frames[0].shape[:2])
        sides = np.minimum(shape / min(shape), MAX_RATIO) * (size or min(built))
        grid = np.rint(sides / patch).clip(1).astype(int)
        place = _patch_at(point, shape, grid, name)
        inputs = np.stack([np.asarray(Image.fromarray(frame).resize(
            (grid * patch)[::-1].tolist(), Image.Resampling.BICUBIC)) for frame in frames])
        tokens = _encode(encoder, 'feature_map', inputs)
        features.append(tokens)
        similarity = F.cosine_similarity(tokens, tokens[0][place], -1)
        maps = dict(input=inputs, similarity=similarity.numpy())
        with suppress(InputError):
            attention = _encode(encoder, 'class_attention', inputs).mean(-1)
            maps['attention'] = (attention / attention.mean((1, 2), keepdim=True)).numpy()
        files.append(MappedFile(name, times, maps, place))
    for file, colours in zip(files, principal_colours(features), strict=True):
        file.maps['pca'] = colours.numpy()
    return files


def _patch_at(point: Sequence[float], shape: np.ndarray, grid: np.ndarray,
              name: str) -> tuple[int, int]:
    """Row and column of the patch at a point of an image."""
    if 0 not in point and len({isinstance(value, int) for value in point}) == 2:  # is 1 a share?
        raise InputError(f'The point {point[0]} {point[1]} is a pixel and a share: give both the '
                         'same way, such as 120 80 or 0.4 0.6.')
    shares = [(value + 0.5) / side if isinstance(value, int) else value
              for value, side in zip(point[::-1], shape, strict=True)]
    if not all(0 <= share <= 1 for share in shares):
        raise InputError(f'The point {point[0]} {point[1]} is outside of {name}, {shape[1]} x '
                         f'{shape[0]} px: whole numbers are pixels, others shares from 0.0 to 1.0.')
    row, column = np.minimum(shares * grid, grid - 1).astype(int).tolist()
    return row, column


def _read(path: FileOrImage, num_frames: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """An image, or frames of a clip and their times in seconds."""
    numbers: list[int] = []

    def choose(total: int) -> list[int]:
        count = max(1, min(num_frames, total))
        numbers.extend(np.linspace(0, total - 1, count).round().astype(int))
        return numbers

    _, frames = read_frames(path, choose)
    if not numbers:
        return frames, None
    with open_video(str(path)) as video:
        return frames, video.frame_times[numbers]


def _encode(encoder: Encoder, method: str, inputs: np.ndarray) -> torch.Tensor:
    """Maps (T, h, w, C) of frames (T, H, W, 3)."""
    frames = torch.from_numpy(inputs).movedim(-1, 1).to(encoder.mean.device)
    maps = torch.cat([getattr(encoder, method)(each[None]).float().cpu() for each in frames])
    return (maps.mean(2) if maps.ndim == 5 else maps).movedim(1, -1)
