"""What the axes of a backbone's output mean."""
from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vicmae_mm.utils.errors import InputError

_EXTRA_TOKEN = re.compile(
    r'(^|[._])(cls|class|dist|distillation|reg|register)_?(tokens?|embedding)')


def innermost_network(backbone: nn.Module) -> Any:
    """The network itself, inside mmpretrain's ``TIMMBackbone``."""
    return getattr(backbone, 'timm_model', backbone)


def network_width(backbone: nn.Module) -> int | Sequence[int] | None:
    """Channels of the output, or of that of each stage; None if the backbone does not say."""
    network = innermost_network(backbone)
    return getattr(network, 'embed_dims', None) or getattr(network, 'num_features', None)


def declared_extra_tokens(backbone: nn.Module) -> int | None:
    """The number of tokens before those of the patches; None if the backbone does not say."""
    return getattr(backbone, 'num_extra_tokens',
                   getattr(innermost_network(backbone), 'num_prefix_tokens', None))


def image_size(backbone: nn.Module) -> int | tuple[int, int]:
    """Side in pixels, or height and width, of a backbone's images; 224 if it does not say.

    A ValueError for images that do not have three channels.
    """
    network = innermost_network(backbone)
    size: Any = getattr(network, 'img_size', None) or getattr(
        getattr(network, 'patch_embed', None), 'img_size', None) or 224
    height, width = size if isinstance(size, Sequence) else (size, size)
    channels = next((module.in_channels for module in backbone.modules()
                     if isinstance(module, (nn.Conv2d, nn.Conv3d))), 3)
    if channels != 3:
        raise InputError(f'The {type(backbone).__name__} was built for images of {channels} '
                         'channel(s): only images of 3 channels are supported.')
    return height if height == width else (height, width)


def num_extra_tokens(backbone: nn.Module, output: Tensor) -> int:
    """How many tokens (class, distillation, registers) come before those of the patches.

    A ValueError if the backbone has such tokens but does not say how many.
    """
    if output.ndim > 3:
        return 0
    declared = declared_extra_tokens(backbone)
    if declared is not None:
        return declared
    named = [name for name, _ in backbone.named_parameters() if _EXTRA_TOKEN.search(name)]
    if named:
        raise _not_understood(backbone, output, f'it has {named[0]}, and no num_extra_tokens that '
                              'says how many of the tokens are not patches')
    return 0


def as_tokens(backbone: nn.Module, output: Tensor, image: Sequence[int]) -> Tensor:
    """Turn what a backbone returned into tokens (B, N, C).

    In an output of three axes, the channels are the axis as long as the network is wide: the second
    in mmpretrain's MLP-Mixer. In a map they are the second or, in timm's Swin, the last; it has two
    or three dimensions. ``image`` is the height and width in pixels. A ValueError if it is not
    clear which axis is which.
    """
    if _channels_second(backbone, output, image):
        return output.flatten(2).transpose(1, 2)
    return output.flatten(1, -2)


def token_map(backbone: nn.Module, output: Tensor, image: Sequence[int]) -> Tensor:
    """Turn what a backbone returned into a map of patches (B, C, h, w), or (B, C, t, h, w).

    Arguments and errors are those of :func:`as_tokens`; also a ValueError if it is not clear which
    patch is where.
    """
    embed = getattr(innermost_network(backbone), 'patch_embed', None)
    patch: Any = getattr(
        getattr(embed, 'projection', getattr(embed, 'proj', None)), 'stride', image)[-2:]
    grid: tuple[int, ...] = (image[0] // patch[0], image[1] // patch[1])
    fits = image[0] % patch[0] == image[1] % patch[1] == 0
    if output.ndim > 3:
        result = output if _channels_second(backbone, output, image) else output.movedim(-1, 1)
        # Networks of stages take any size: their maps are smaller than the grid of patches.
        fits = fits or result.shape[-2] < grid[0]
    else:
        result = as_tokens(backbone, output, image)[:, num_extra_tokens(backbone, output):]
        if getattr(backbone, 'num_frames', None) is not None:
            grid = (result.shape[1] // max(1, math.prod(grid)), *grid)
        fits = fits and math.prod(grid) == result.shape[1]
    if not fits:
        raise _not_understood(backbone, output, f'images of {image[0]} x {image[1]} px are not '
                              f'whole patches of {patch[0]} x {patch[1]}: crop or resize them')
    return result if output.ndim > 3 else result.transpose(1, 2).unflatten(2, grid)


def _channels_second(backbone: nn.Module, output: Tensor, image: Sequence[int]) -> bool:
    """Whether the channels are the second axis of an output, and not the last."""
    # mmpretrain's Vision Transformers and similar networks always return (B, N, C).
    if output.ndim == 3 and hasattr(backbone, 'OUT_TYPES'):
        return False
    if output.ndim == 3:
        width = network_width(backbone)
        second, last = output.shape[1] == width, output.shape[2] == width
    elif output.ndim == 4:
        # Whichever two axes have the image's proportions, the third is the channels.
        sides = [output.shape[axis] * image[1] == output.shape[axis + 1] * image[0]
                 for axis in (1, 2)]
        second, last = not sides[0], sides[0] and not sides[1]
    else:
        second, last = getattr(backbone, 'num_frames', None) is not None, False
    if second == last:
        raise _not_understood(backbone, output, 'it is not clear which axis is the channels')
    return second


def _not_understood(backbone: nn.Module, output: Tensor, reason: str) -> InputError:
    return InputError(f'The {type(backbone).__name__} returns a tensor of shape '
                      f'{tuple(output.shape)}: {reason}.')
