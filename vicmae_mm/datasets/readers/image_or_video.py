"""Frames of videos and images, prepared as for validation."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vicmae_mm.utils.errors import InputError

from .base import VideoError, is_machines
from .factory import open_video
from .presentation_times import frames_at
from .pyav_reader import PyAVReader

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE

ImageInMemory: TypeAlias = Image.Image | np.ndarray | Tensor


class UnsupportedImageError(InputError):
    """An image that is undamaged, but of a kind that cannot be used."""


def middle_pair(total: int) -> list[int]:
    """The typical pair of training: the frames at one and three quarters of a video."""
    return sorted({total // 4, 3 * total // 4})


def read_frames(
        path: str | Path | ImageInMemory,
        choose: Callable[[int], Sequence[int]] = middle_pair) -> tuple[str, list[np.ndarray]]:
    """Read an image, or some frames of a video or of an animated image.

    ``path`` is a file, recognised by its content, or an image in memory; ``choose`` maps the number
    of frames to the numbers of those to read. Returned are a caption, and the frames, uint8
    (H, W, 3) RGB. Raises FileNotFoundError if there is no such file, ValueError if it is neither an
    image nor a video that can be decoded.
    """
    if not isinstance(path, (str, Path)):
        return 'image', [decode_image(path)]
    path = Path(path).expanduser()
    if not path.is_file():
        what = 'a folder; name the files in it' if path.is_dir() else 'missing'
        raise FileNotFoundError(f'{path} is {what}.')
    try:
        if not _is_animated(path):
            return path.name, [decode_image(path)]
    except UnidentifiedImageError:
        pass  # a video?
    except UnsupportedImageError as error:
        raise InputError(f'{path}: {error}.') from error
    except ValueError as error:
        raise InputError(f'{path} is a damaged image: {error}') from error
    try:
        with open_video(str(path)) as video:
            total = video.num_frames
            indices = choose(total)
            frames = video.get_frames(indices)
    except VideoError as error:
        if is_machines(error):
            raise
        raise InputError(
            f'{path} is neither an image nor a readable video: {error.reason}') from error
    numbers = ' and '.join(map(str, indices))
    return f'{path.name}: frame{"s" * (len(indices) > 1)} {numbers} of {total}', frames


def frames_over_time(path: str, fps: float,
                     size: int | tuple[int, int]) -> tuple[np.ndarray, Iterator[Tensor]]:
    """The frames of a video that are shown at multiples of ``1 / fps`` seconds, each once.

    Returns their N times in seconds from the first of all, and the N prepared frames, which come
    from one decode. A VideoError says why there is no video, or, later, why it ends early.
    """
    with PyAVReader(path) as video:
        times = video.frame_times
    chosen = frames_at(times, 1 / fps, rounding=1.001e-3)  # Matroska has milliseconds
    return times[chosen], (prepare_frame(frame, size)
                           for frame in video.decode_in_order(chosen.tolist()))


def prepare_frame(frame: np.ndarray, size: int | tuple[int, int],
                  resize: float = 256 / 224) -> Tensor:
    """Resize the short side of a uint8 (H, W, 3) RGB frame and crop the centre, as for validation.

    Args:
        size: Side of the model's input in pixels, or height and width; then the side that is
            shorter in relation to it is resized.
        resize: Short side before the crop, in shares of ``size``; by default as MAE for ImageNet.

    Returns:
        uint8 (3, size, size), or (3, height, width), RGB.
    """
    from mmpretrain.datasets import CenterCrop, ResizeEdge
    height, width = (size, size) if isinstance(size, int) else size
    is_wide = frame.shape[0] * width <= frame.shape[1] * height
    side = height if is_wide else width
    transform = Compose([
        ResizeEdge(round(side * resize), 'height' if is_wide else 'width', backend='pillow',
                   interpolation='bicubic'),
        CenterCrop((width, height)),
    ])
    return torch.from_numpy(transform(dict(img=frame))['img'].transpose(2, 0, 1).copy())


def prepare_frames(model: ViCMAE, frames: list[np.ndarray]) -> list[Tensor]:
    """Prepare each frame as :func:`prepare_frame` does, with the channels that a model expects."""
    squares = [prepare_frame(frame, tuple(model.backbone.img_size)) for frame in frames]
    # A preprocessor that converts to RGB expects BGR.
    swap = model.data_preprocessor._channel_conversion
    return [square.flip(0) for square in squares] if swap else squares


def decode_image(source: str | Path | ImageInMemory, upright: bool = True) -> np.ndarray:
    """Decode an image of any mode to uint8 (H, W, 3) RGB, ``upright`` by its Exif tag.

    The source is an image file, an image of Pillow, or an array or tensor, uint8 or uint16, (H, W),
    (H, W, C) or (C, H, W): grey, grey and alpha, RGB or RGBA.

    Raises:
        UnidentifiedImageError: If it is not an image.
        ValueError: If it is damaged, has 32 bits per channel, or is so large that Pillow refuses
            it; if the range of an array is not known, or which axis has the channels.
    """
    if isinstance(source, (np.ndarray, Tensor)):
        source = _to_pillow(source)
    try:
        with (nullcontext(source) if isinstance(source, Image.Image) else
              Image.open(source)) as image:
            rotated = ImageOps.exif_transpose(image) if upright else image
            if rotated.mode.startswith('I;16'):  # 16 bits, which Pillow would clip at 255
                rotated = Image.fromarray((np.asarray(rotated) // 256).astype(np.uint8))
            if rotated.mode in ('I', 'F'):  # Pillow would clip at 255
                raise UnsupportedImageError('an image of 32 bits per channel does not say which '
                                            'value is white: convert it to 8 or 16 bits')
            return np.asarray(rotated.convert('RGB'))
    except (UnsupportedImageError, UnidentifiedImageError):
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged data
        if is_machines(error):
            raise
        raise InputError(str(error)) from error


def _to_pillow(image: np.ndarray | Tensor) -> Image.Image:
    shape, dtype = tuple(image.shape), str(image.dtype).removeprefix('torch.')
    if dtype not in ('uint8', 'uint16', '>u2'):
        raise InputError(f'the range of {dtype} pixels is not known: convert them to uint8, 0 to '
                         '255; those of 0 to 1 by (255 * image).round()')
    axes = [axis for axis in (0, 2) if len(shape) == 3 and shape[axis] <= 4]
    if 0 in shape or not (len(shape) == 2 or len(axes) == 1):
        raise InputError(f'the image has shape {shape}: expected (H, W), (H, W, C) or (C, H, W), '
                         'with 1 to 4 channels, on one of these axes only')
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image)
    array = array if dtype == 'uint8' else (array // 256).astype(np.uint8)
    array = np.moveaxis(array, axes[0], 2) if axes else array
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1, ) else array)


def _is_animated(path: Path) -> bool:
    """Whether it is an image of several frames, not of several pages (TIFF) or views (MPO)."""
    with suppress(Exception), Image.open(path) as image:  # decode_image says what is wrong with it
        return image.format in ('GIF', 'PNG', 'WEBP') and getattr(image, 'is_animated', False)
    return False


def image_problem(path: str) -> str:
    """Why mmcv cannot load an image file, or '' if it can.

    Raises:
        OSError: The file cannot be read.
    """
    data = Path(path).read_bytes()
    if not data:
        return 'is empty (0 bytes)'
    with suppress(Exception):  # OpenCV returns None for some damage and raises for other
        if mmcv.imfrombytes(data) is not None:
            return ''
    try:
        decode_image(path)
    except UnidentifiedImageError:
        return 'is not an image'
    except UnsupportedImageError as error:
        return f'cannot be used: {error}'
    except ValueError as error:
        return f'cannot be decoded ({error})'
    return 'is an image of a kind that OpenCV does not decode'
