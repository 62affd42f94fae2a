"""Loading an image as a pair."""
from hashlib import blake2b
from typing import Any

import numpy as np

from vicmae_mm.datasets.readers.image_or_video import decode_image, read_image
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .shown import ShownTransform


@TRANSFORMS.register_module()
class LoadImagePair(ShownTransform):
    """Load an image as the two equal frames of a pair, which later transforms make differ.

    It takes the place of ``VideoInit``, ``SampleFramePair`` and ``VideoDecode``: an image is a
    video of a single frame, of which the pair is (0, 0).

    Required keys: ``img_path``, a local file, or ``img``, an array that :func:`decode_image` takes;
    if it has three channels, they are RGB.

    Added keys: ``imgs`` (list of ``num_frames`` (H, W, 3) uint8 RGB arrays), ``original_shape`` and
    ``img_shape`` ((height, width)), ``filename`` (the path; of an image in memory a name that
    depends on its pixels alone), ``total_frames`` (1), and ``frame_inds``, ``clip_len``,
    ``num_clips`` and ``frame_interval`` as set by ``SampleFramePair``.

    Args:
        num_frames (int): 2, or 1 for the MAE baseline. Defaults to 2.

    Raises:
        ValueError: ``num_frames`` is neither, or (when transforming) there is no image.
        VideoError: The file cannot be decoded (when transforming).
    """

    def __init__(self, num_frames: int = 2) -> None:
        if num_frames not in (1, 2):
            raise InputError(f'LoadImagePair: num_frames={num_frames!r} should be 2 (a pair) or 1 '
                             '(the MAE baseline).')
        self.num_frames = num_frames

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load ``results['img_path']`` or take ``results['img']``."""
        if path := results.get('img_path'):
            image = read_image(path)
        elif 'img' in results:
            image = decode_image(results.pop('img'))
            path = f'image in memory {_digest(image)}'
        else:
            raise InputError("LoadImagePair needs an image, results['img_path'] or "
                             "results['img'], and there is none: use it in the pipeline of "
                             'vicmae_mm.ImagePairDataset. Videos are opened by VideoInit.')
        shape = image.shape[:2]
        results.update(
            # Copies, because transforms may change a frame in place.
            imgs=[image.copy() for _ in range(self.num_frames)], filename=path,
            original_shape=shape, img_shape=shape, total_frames=1, clip_len=self.num_frames,
            frame_inds=np.zeros(self.num_frames, np.int64), num_clips=1, frame_interval=1)
        return results


def _digest(image: np.ndarray) -> str:
    return blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=8).hexdigest()
