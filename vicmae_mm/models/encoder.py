"""An encoder with its normalisation: images or clips in, features out."""
from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

from .pooling import last_outputs
from .precision import at_least_fp32
from .token_layout import as_tokens, image_size, innermost_network, num_extra_tokens, token_map

if TYPE_CHECKING:
    from .vicmae import ViCMAE

LEVELS = ('cls', 'avg', 'tokens')
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
CHECKED_BATCHES = 3  # reading pixel values back makes the CPU wait for the GPU


class Encoder(nn.Module):
    """A backbone with the normalisation its weights were trained with.

    | level        | shape     | features                                                        |
    |--------------|-----------|-----------------------------------------------------------------|
    | ``'cls'``    | (B, C)    | the class token                                                 |
    | ``'avg'``    | (B, C)    | the mean of the patch tokens, or of the positions of a map      |
    | ``'tokens'`` | (B, N, C) | all tokens, the class token first if there is one               |

    Class, distillation and register tokens are not part of the mean. Tokens are taken after the
    final norm. A network that was fine-tuned on their mean applies its final norm to that mean
    instead, so that ``'avg'`` is normalised and the tokens are not.

    Args:
        backbone: Returns tokens (B, N, C) or a map (B, C, H, W), or a tuple that ends with it;
            other layouts as in :func:`as_tokens`.
        mean, std: Per channel, in 0 to 255, in the order of the network's channels.
        bgr: Whether the network was trained on BGR images. The input of the encoder is always RGB.

    Attributes:
        image_size: Side of its square images in pixels, or height and width; 224 if not known.
        num_frames: Frames per clip of a video network; None for an image network.
        has_cls_token: Whether the first token is a class token.

    Raises:
        ValueError: The backbone is not for three channels, or the normalisation is not finite.
    """

    mean: Tensor
    std: Tensor
    normalisation_is_assumed = False  # the checkpoint does not say it

    def __init__(self, backbone: nn.Module, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, bgr: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.image_size = image_size(backbone)
        self.num_frames: int | None = getattr(backbone, 'num_frames', None)
        self.has_cls_token = getattr(innermost_network(backbone), 'cls_token', None) is not None
        self.bgr = bgr
        if not (all(map(math.isfinite, [*mean, *std])) and min(std) > 0):
            raise InputError(f'mean={[*mean]} and std={[*std]} cannot normalise images: they must '
                             'be finite, and std above 0.')
        # Not persistent: the state dict is that of the backbone alone.
        self.register_buffer('mean', torch.tensor(mean), persistent=False)
        self.register_buffer('std', torch.tensor(std), persistent=False)
        self._unchecked = [None] * CHECKED_BATCHES  # shared by copies of DataParallel

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Encoder:
        exact = self.mean, self.std
        super()._apply(fn, recurse)
        # Moved, not rounded: bfloat16 makes 123.5 of 123.675.
        self.mean, self.std = (value.to(self.mean.device) for value in exact)
        return self

    @classmethod
    def of(cls, model: ViCMAE) -> Encoder:
        """Wrap the encoder of a model, sharing its weights."""
        preprocessor: Any = model.data_preprocessor
        return cls(model.backbone, preprocessor.mean.flatten().tolist(),
                   preprocessor.std.flatten().tolist())

    def forward(self, images: Tensor, level: str = 'tokens') -> Tensor:
        """Encode.

        Args:
            images: Images (B, 3, H, W) or (3, H, W), or clips (B, 3, T, H, W) for a video network;
                RGB, 0 to 255. A video network encodes an image as a clip of identical frames.
            level: One of the levels in the table above.

        Raises:
            ValueError: As :meth:`check_level`, or if input or output of the backbone is not clear.
        """
        self.check_level(level)
        output = self._run(images)
        tokens = as_tokens(self.backbone, output, images.shape[-2:])
        if level == 'tokens':
            return tokens
        extra = num_extra_tokens(self.backbone, output)
        if level == 'cls':
            if not extra:
                raise self._no_cls()
            return tokens[:, 0]
        pooled = tokens[:, extra:].mean(dim=1)
        # The norm after pooling: mmpretrain's ln2, fc_norm in MAE and timm.
        norm = getattr(self.backbone, 'ln2', None)
        return pooled if norm is None else norm(pooled)

    def feature_map(self, images: Tensor) -> Tensor:
        """Encode images to maps of their patches (B, C, h, w), or clips to (B, C, t, h, w).

        Inputs are as for :meth:`forward`, of any size in whole patches that the network takes, else
        a ValueError: mmpretrain's and our Vision Transformers interpolate their positions.
        """
        try:
            output = self._run(images)
        except (AssertionError, RuntimeError) as error:
            raise InputError(f'{type(self.backbone).__name__} was built for {self.image_size} px '
                             f'and cannot encode {tuple(images.shape)}: {error}') from error
        return token_map(self.backbone, output, images.shape[-2:])

    def class_attention(self, images: Tensor) -> Tensor:
        """Attention of the class token to each patch in the last block of a Vision Transformer.

        Probabilities (B, heads, h, w), or (B, heads, t, h, w) of clips, at least fp32, whose sum is
        below 1: the class token itself and registers get the rest. Inputs and errors are those of
        :meth:`feature_map`; also a ValueError if there is no such attention that can be computed.
        """
        attention: Any = next((module for module in reversed([*self.backbone.modules()])
                               if isinstance(module, MultiheadAttention)), None)
        kernel = getattr(attention, 'scaled_dot_product_attention', None)
        if not self.has_cls_token or kernel is not F.scaled_dot_product_attention:
            raise InputError(f'This {type(self.backbone).__name__} has no attention of a class '
                             'token, as a VisionTransformer of mmpretrain or this package has.')
        qkv: list[Tensor] = []
        # Of this layer: fused kernels do not return their weights.
        hook = attention.qkv.register_forward_hook(lambda *call: qkv.append(call[2]))
        try:
            grid = self.feature_map(images).shape[2:]
        finally:
            hook.remove()
        query, key, _ = at_least_fp32(qkv[-1]).unflatten(2, (3, attention.num_heads, -1)).unbind(2)
        scores = torch.einsum('bhd,bnhd->bhn', query[:, 0], key) * key.shape[-1]**-0.5
        return scores.softmax(-1)[..., -math.prod(grid):].unflatten(2, grid)

    def check_level(self, level: str) -> None:
        """Raise a ValueError if the encoder has no features of this level."""
        if level not in LEVELS:
            raise InputError(f'level={level!r} is unknown: choose one of {LEVELS}.')
        if level == 'cls' and not self.has_cls_token:
            raise self._no_cls()

    def _as_batch(self, images: Tensor) -> Tensor:
        frames = self.num_frames
        if isinstance(images, Tensor):
            batch = images[None] if images.ndim == 3 else images
            if batch.ndim in (4, 4 + (frames is not None)) and batch.shape[1] == 3:
                return batch if frames is None or batch.ndim == 5 else (
                    batch[:, :, None].expand(-1, -1, frames, -1, -1))
        found = [*getattr(images, 'shape', ())] or type(images).__name__
        raise InputError(
            'The encoder takes tensors (B, 3, H, W) or (3, H, W), of clips (B, 3, T, H, W), RGB, '
            f'0 to 255, not {found}. For others, use vicmae_mm.apis.extract_features.')

    def _check_range(self, images: Tensor) -> None:
        """Warn once if the pixels seem to be 0 to 1, normalised, or of more than 8 bits."""
        is_compiling = getattr(torch.compiler, 'is_compiling', bool)()  # torch 2.1 has none
        if is_compiling or not self._unchecked or images.dtype == torch.uint8:
            return
        self._unchecked.pop()
        values = images[:8].detach().float()
        with suppress(RuntimeError):  # no values: an empty batch, the meta device, vmap
            low, high, fraction = torch.stack(
                [*values.aminmax(), values.frac().abs().max()]).tolist()
            # Photos of 0 to 255, also dark ones, have values above 4, and black frames integers.
            # Resampling overshoots by less than half of the range.
            if (fraction and max(-low, high) <= 4) or low < -high / 2 or high > 400:
                self._unchecked.clear()
                warnings.warn(
                    f'The pixels are between {low:.3g} and {high:.3g}, so the features are wrong: '
                    'the encoder normalises itself. Pass RGB values of 0 to 255.', stacklevel=5)

    def _no_cls(self) -> InputError:
        return InputError(f'A {type(self.backbone).__name__} without class token has no '
                          "features of level 'cls': use 'avg'.")

    def _run(self, images: Tensor) -> Tensor:
        images = self._as_batch(images)
        self._check_range(images)
        dtype = next((value.dtype for value in self.backbone.parameters()
                      if value.is_floating_point()), torch.float32)
        inputs = (images.flip(1) if self.bgr else images).to(
            torch.promote_types(dtype, torch.float32))
        axes = (-1, ) + (1, ) * (images.ndim - 2)
        inputs = ((inputs - self.mean.view(axes)) / self.std.view(axes)).to(dtype)
        # Networks for masked pre-training hide patches unless mask=None.
        hidden = {'mask', 'importance'} & inspect.signature(self.backbone.forward).parameters.keys()
        features = self.backbone(inputs, **dict.fromkeys(hidden))
        outputs = last_outputs(features, self.backbone)
        if len(outputs) != 1 or getattr(outputs[0], 'ndim', 0) < 3:
            what = (f'vectors of shape {tuple(outputs[0].shape)}' if len(outputs) == 1 else
                    f'{len(outputs)} outputs')
            raise InputError(f'The {type(self.backbone).__name__} returns {what}: it must return '
                             'tokens or a map.')
        return outputs[0]
