"""Image transforms applied to each frame of a video sample."""
from collections.abc import Callable, Sequence

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import get_rng_states, set_rng_states


@TRANSFORMS.register_module()
class PerFrame(BaseTransform):
    """Apply image transforms to every frame, each with its own randomness.

    A frame goes through the transforms as ``{'img', 'img_shape', 'ori_shape'}``,
    so those of mmpretrain, mmcv and (wrapped by mmpretrain) torchvision work as
    they are. Types without a scope are looked up in the default scope.

    ``share_random_params=True`` gives every frame the same crop, flip and
    colours: the generators of python, numpy and torch start each frame from the
    same state. (mmcv's ``cache_random_params`` would be the usual way, but refuses
    mmpretrain's RandomResizedCrop and knows only decorated methods.)

    Required Keys: ``imgs`` (list of (H, W, C) uint8 arrays).

    Modified Keys: ``imgs`` (list of what the transforms leave in ``img``),
    ``img_shape`` ((height, width) of the first frame, when it is an array).

    Args:
        transforms (Sequence[dict | Callable]): Image transforms.
        share_random_params (bool): The same randomness for all frames.
            Defaults to False.
        frames (Sequence[int], optional): Positions within the pair to transform:
            ``[1]`` is the second frame of every pair (Table 6 colours the target frame
            alone). The others pass unchanged. Defaults to None, all frames.

    Raises:
        ValueError: ``frames`` is empty or holds anything but 0 and 1.
    """

    def __init__(self,
                 transforms: Sequence[dict | Callable[[dict], dict]],
                 share_random_params: bool = False,
                 frames: Sequence[int] | None = None) -> None:
        self.transforms = Compose(transforms)
        self.share_random_params = share_random_params
        self.frames = check_positions(frames, type(self).__name__)

    def transform(self, results: dict) -> dict | None:
        """Transform the chosen frames; None when a transform rejects one."""
        if 'imgs' not in results:
            raise InputError("PerFrame needs results['imgs'], a list of frames: "
                           'put it after VideoDecode.')
        imgs = list(results['imgs'])
        start = get_rng_states() if self.share_random_params else None
        for position, img in enumerate(imgs):
            if position % 2 not in self.frames:
                continue
            if start is not None:
                set_rng_states(start)
            shape = img.shape[:2]
            frame = self.transforms(dict(img=img, img_shape=shape, ori_shape=shape))
            if frame is None:
                return None
            imgs[position] = frame['img']
        results['imgs'] = imgs
        if isinstance(imgs[0], np.ndarray):
            results['img_shape'] = imgs[0].shape[:2]
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(transforms={self.transforms}, '
                f'share_random_params={self.share_random_params}, frames={self.frames})')


def check_positions(frames: Sequence[int] | None, owner: str) -> tuple[int, ...]:
    """Positions within a pair, 0 and 1, as an argument ``frames`` of ``owner`` gives them.

    Raises:
        ValueError: There are none, or others.
    """
    if frames is None:
        return 0, 1
    if not frames or not set(frames) <= {0, 1}:
        raise InputError(f'{owner}: frames={frames!r} should hold positions within the pair: [0] '
                         'the first frame, [1] the second. Leave it out to transform both.')
    return tuple(frames)
