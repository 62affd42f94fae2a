"""What the axes of a backbone's output mean."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vicmae_mm.utils.errors import InputError

_EXTRA_TOKEN = re.compile(
    r'(^|[._])(cls|class|dist|distillation|reg|register)_?(tokens?|embedding)')


def image_side(backbone: nn.Module) -> int:
    """Side in pixels of the square images a backbone was built for; 224 if it does not say.

    Raises:
        ValueError: If they are not square.
    """
    network = getattr(backbone, 'timm_model', backbone)
    size: Any = getattr(network, 'img_size', None) or getattr(
        getattr(network, 'patch_embed', None), 'img_size', None) or 224
    height, width = size if isinstance(size, Sequence) else (size, size)
    if height != width:
        raise InputError(f'The {type(backbone).__name__} was built for images of {height} x '
                         f'{width} px: only square images are supported here.')
    return height


def check_channels(backbone: nn.Module) -> None:
    """Raise a ValueError if the first convolution is not for three channels."""
    channels = next((module.in_channels for module in backbone.modules()
                     if isinstance(module, (nn.Conv2d, nn.Conv3d))), 3)
    if channels != 3:
        raise InputError(f'The {type(backbone).__name__} was built for images of {channels} '
                         'channel(s): only RGB and BGR images are supported here.')


def num_extra_tokens(backbone: nn.Module, output: Tensor) -> int:
    """How many tokens (class, distillation, registers) come before those of the patches.

    Raises:
        ValueError: If the backbone has such tokens but does not say how many.
    """
    if output.ndim > 3:
        return 0
    count = getattr(backbone, 'num_extra_tokens', None)
    if count is None:
        count = getattr(getattr(backbone, 'timm_model', None), 'num_prefix_tokens', None)
    if count is None:
        named = [name for name, _ in backbone.named_parameters() if _EXTRA_TOKEN.search(name)]
        if named:
            raise _not_understood(backbone, output, f'it has {named[0]}, and no num_extra_tokens '
                                  'that says how many of the tokens are not patches')
        count = 0
    return count


def as_tokens(backbone: nn.Module, output: Tensor, image: Sequence[int]) -> Tensor:
    """Turn what a backbone returned into tokens (B, N, C).

    The channels of three axes are those of the width of the network: mmpretrain's MLP-Mixer puts
    them second. Maps may have them second or last, as timm's Swin.

    Args:
        backbone: The network.
        output: Tokens, or a map of two or three dimensions.
        image: Height and width of the image in pixels.

    Raises:
        ValueError: If it cannot be told which axis is which.
    """
    if output.ndim == 3:
        return output.transpose(1, 2) if _channels_second(backbone, output) else output
    if output.ndim == 4 and _channels_last(backbone, output, image):
        return output.flatten(1, 2)
    if output.ndim == 5 and getattr(backbone, 'num_frames', None) is None:
        raise _not_understood(backbone, output, 'only networks of images and vicmae_mm.VideoViT '
                              'are supported')
    return output.flatten(2).transpose(1, 2)


def _channels_second(backbone: nn.Module, output: Tensor) -> bool:
    # mmpretrain's Vision Transformers and their kin: (B, N, C) by definition.
    if hasattr(backbone, 'OUT_TYPES'):
        return False
    network: Any = getattr(backbone, 'timm_model', backbone)
    width = getattr(network, 'embed_dims', None) or getattr(network, 'num_features', None)
    axes = [axis for axis in (1, 2) if output.shape[axis] == width]
    if len(axes) != 1:
        raise _not_understood(backbone, output, 'it cannot be told which axis is the channels: '
                              + ('both are' if axes else 'neither is') + f' {width} long')
    return axes == [1]


def _channels_last(backbone: nn.Module, output: Tensor, image: Sequence[int]) -> bool:
    """Whether axes 1 and 2 have the image's proportions, and axes 2 and 3 have not."""
    first, second, third = output.shape[1:]
    last_fits = first * image[1] == second * image[0]
    if last_fits and second * image[1] == third * image[0]:
        raise _not_understood(backbone, output, 'it cannot be told which axis is the channels')
    return last_fits


def _not_understood(backbone: nn.Module, output: Tensor, reason: str) -> InputError:
    return InputError(f'The {type(backbone).__name__} returns a tensor of shape '
                      f'{tuple(output.shape)}: {reason}.')
