"""Convert the weights of an image encoder, or of a clip encoder of another size, for VideoViT."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from vicmae_mm.models.positions import combine_tables, resize_joint, resize_temporal
from vicmae_mm.utils.errors import InputError

if TYPE_CHECKING:
    from .video_vit import VideoViT


def inflate_image_weights(model: VideoViT, state_dict: dict[str, Tensor], prefix: str) -> None:
    """Fit an image checkpoint, or one for clips of another size, to a ``VideoViT``.

    What cannot be fitted is left unchanged, for the loader to report. The dict is changed in place,
    its tensors are not; ``prefix`` is that of the network's keys, such as ``'backbone.'``.
    """
    projection = f'{prefix}patch_embed.projection.weight'
    from_images = projection in state_dict and state_dict[projection].ndim == 4
    if from_images:
        # The convolution sums over the tubelet: divided by its depth, the repeated weight gives
        # for a clip of identical frames what the image encoder gives for one of them.
        weight, depth = state_dict[projection][:, :, None], model.tubelet_size
        state_dict[projection] = weight.repeat(1, 1, depth, 1, 1) / depth
    _fit_position(model, state_dict, prefix, from_images)
    if model.out_type == 'avg_featmap' and not model.final_norm and not any(
            key.startswith(f'{prefix}ln2.') for key in state_dict):
        # The final norm of the tokens becomes the norm after pooling.
        for key in [key for key in state_dict if key.startswith(f'{prefix}ln1.')]:
            state_dict[key.replace(f'{prefix}ln1.', f'{prefix}ln2.')] = state_dict.pop(key)


def _fit_position(model: VideoViT, state_dict: dict[str, Tensor], prefix: str,
                  from_images: bool) -> None:
    name, time = f'{prefix}pos_embed', f'{prefix}temporal_embed'
    if name not in state_dict:
        return
    table = state_dict[name]
    if not model.with_cls_token and state_dict.pop(f'{prefix}cls_token', None) is not None:
        table = table[:, 1:]
    if not from_images and not model.separable_position:
        state_dict[name] = _resize_joint(model, table)
        return
    table = _resize_spatial(model, table)
    if from_images:
        # Zeros: at first, all frames have the positions that the image encoder was trained with.
        state_dict[time] = table.new_zeros(1, model.grid[0], table.shape[2])
    elif time in state_dict:
        state_dict[time] = resize_temporal(state_dict[time], model.grid[0])
    if not model.separable_position:
        table = combine_tables(table, state_dict.pop(time), model.num_extra_tokens)
    state_dict[name] = table


def _resize_spatial(model: VideoViT, table: Tensor) -> Tensor:
    extra, target = model.num_extra_tokens, model.grid[1:]
    side = math.isqrt(table.shape[1] - extra)
    if table.shape[1] == extra + target[0] * target[1] or side**2 != table.shape[1] - extra:
        return table
    return resize_pos_embed(table, (side, side), target, model.interpolate_mode, extra)


def _resize_joint(model: VideoViT, table: Tensor) -> Tensor:
    # A checkpoint does not store its grid. The table may come from the same number of frames at
    # another (square) size, or from the same size with another number of frames.
    frames, height, width = model.grid
    rows = table.shape[1] - model.num_extra_tokens
    side = math.isqrt(rows // frames)
    grids = [grid for grid in ((frames, side, side), (rows // (height * width), height, width))
             if math.prod(grid) == rows]
    if math.prod(model.grid) == rows or not grids:
        return table
    if len(grids) > 1:
        raise InputError(
            f'The position table has {rows} rows, which fits two grids: it may be one '
            f'of {grids[0]} or of {grids[1]} (time, height, width). Load it into a VideoViT of '
            'the size it was trained for; that also encodes clips of other sizes.')
    return resize_joint(table, grids[0], model.grid, model.num_extra_tokens,
                        model.interpolate_mode)
