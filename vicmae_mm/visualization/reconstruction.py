"""Pictures of masked frames and of their reconstructions."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.models.modes import evaluating
from vicmae_mm.utils.errors import InputError

from .grid import draw_grid

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE

TITLES = ('frame', 'masked', 'reconstruction', 'reconstruction + visible')
NORM_PIX_NOTE = ('The network predicts patches with mean 0 and variance 1 (norm_pix): the mean and '
                 'contrast of each patch\nare taken from the original.')
GREY = 127.


@dataclass(frozen=True)
class Reconstruction:
    """Pictures of B frames, each array uint8 (B, H, W, 3) RGB."""

    frame: np.ndarray  # the input of the network
    masked: np.ndarray  # the same with hidden patches in grey
    prediction: np.ndarray  # all predicted patches, including the visible ones
    completed: np.ndarray  # predicted patches where they were hidden, the frame elsewhere


def check_can_reconstruct(model: nn.Module) -> None:
    """Raise a ValueError if the model has no decoder of pixels."""
    if not getattr(model, 'with_neck', False):
        raise InputError('This model has no decoder (it was trained on contrast alone), so there '
                         'is no reconstruction to draw.')
    if getattr(model, 'target_generator', None) is not None:
        raise InputError('This model predicts features of a target_generator, not pixels: there '
                         'is no reconstruction to draw.')


def mask_noise(num_frames: int, num_patches: int, seed: int) -> Tensor:
    """Masking noise (num_frames, num_patches) that depends only on the seed.

    The first rows are the same for any ``num_frames``.
    """
    # A generator of its own, so that pictures do not change the random numbers of training.
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_frames, num_patches, generator=generator)


@torch.no_grad()
def reconstruct(model: ViCMAE, frames: Tensor, noise: Tensor) -> Reconstruction:
    """Mask frames, encode their visible patches and decode all patches.

    Runs in evaluation mode; the mode of every module is restored afterwards.

    Args:
        model: A model with a decoder, not in a DDP wrapper.
        frames: (B, 3, H, W), 0 to 255, as the data pipeline passes them to the model's
            ``data_preprocessor``.
        noise: Masking noise (B, L): the patches with the smallest values stay visible.

    Raises:
        ValueError: If the model has no decoder.
    """
    check_can_reconstruct(model)
    with evaluating(model):
        images = model.data_preprocessor(dict(inputs=[frames], data_samples=None))['inputs'][0]
        latent, mask, ids_restore = model.backbone(images, noise=noise.to(images.device))
        patches = model.neck(latent, ids_restore).float()
    if model.head.norm_pix:
        # The inverse of MAEPretrainHead.construct_target, which normalises each patch.
        side = model.head.patch_size
        target = F.unfold(images, side, stride=side).transpose(1, 2)
        patches = patches * (target.var(-1, keepdim=True) + 1e-6).sqrt() + target.mean(
            -1, keepdim=True)
    hidden = _unpatchify(mask[..., None].expand_as(patches), images)
    frame = _to_pixels(model, images)
    prediction = _to_pixels(model, _unpatchify(patches, images))
    return Reconstruction(
        frame=_to_uint8(frame),
        masked=_to_uint8(torch.where(hidden > 0, GREY, frame)),
        prediction=_to_uint8(prediction),
        completed=_to_uint8(torch.where(hidden > 0, prediction, frame)))


def draw_reconstruction(model: ViCMAE, inputs: Sequence[tuple[str, Sequence[Tensor]]],
                        seed: int) -> np.ndarray:
    """Draw several inputs as one picture, uint8 (H, W, 3) RGB: a row per frame, a column per stage.

    An input has a caption, and frames (3, H, W), all of one size, as in :func:`reconstruct`.
    """
    frames = torch.stack([frame for _, frames in inputs for frame in frames])
    grid = model.backbone.patch_resolution
    result = reconstruct(model, frames, mask_noise(len(frames), grid[0] * grid[1], seed))
    rows = iter(zip(result.frame, result.masked, result.prediction, result.completed, strict=True))
    return draw_grid(
        TITLES, [(caption, [next(rows) for _ in frames]) for caption, frames in inputs],
        footnote=NORM_PIX_NOTE if model.head.norm_pix else '')


def _unpatchify(patches: Tensor, like: Tensor) -> Tensor:
    """Join patches (B, L, side**2 * 3) to images like ``like``; MAEPretrainHead's are square."""
    side = math.isqrt(patches.shape[2] // 3)
    columns = patches.unflatten(2, (-1, 3)).permute(0, 3, 2, 1).flatten(1, 2)
    return F.fold(columns, like.shape[-2:], side, stride=side)


def _to_pixels(model: ViCMAE, images: Tensor) -> Tensor:
    """Undo the normalisation of the model's data preprocessor."""
    preprocessor = model.data_preprocessor
    if not hasattr(preprocessor, 'mean'):
        return images
    return images * preprocessor.std + preprocessor.mean


def _to_uint8(images: Tensor) -> np.ndarray:
    """Convert (B, 3, H, W) in 0 to 255 to uint8 (B, H, W, 3)."""
    return images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
