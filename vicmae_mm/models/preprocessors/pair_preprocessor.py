"""Normalise the views of a pair, frames or clips, on the model's device."""
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from torch import Tensor

from vicmae_mm.models.view_layout import split_views
from vicmae_mm.registry import MODELS


@MODELS.register_module()
class PairDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's ``SelfSupDataPreprocessor``, bit-identical, with one float copy per view.

    The stock class makes three: for the conversion, the subtraction and the division.

    Args:
        mean, std (Sequence[float], optional): Per channel, in 0 to 255. None: do not normalise.
        non_blocking (bool): Copy pinned batches to the GPU while it computes. Defaults to False.
        to_rgb, bgr_to_rgb, rgb_to_bgr, ...: As in the stock class.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Move a batch to the device, augment and normalise it.

        ``inputs`` are in 0 to 255, uint8 or float, in a layout of :func:`split_views` (else a
        ValueError), and become float32 in the same layout.
        """
        inputs, samples = data['inputs'], data.get('data_samples')
        views = split_views(self.cast_data(inputs), samples)
        if self._channel_conversion:
            views = [view[:, [2, 1, 0]] for view in views]
        views = [self._normalised(view) for view in self.augment(views, training)]
        result: Any = views
        if isinstance(inputs, Tensor):
            result = views[0] if inputs.ndim == views[0].ndim else torch.stack(views, dim=1)
        return dict(inputs=result, data_samples=self.cast_data(samples))

    def cast_data(self, data: Any) -> Any:
        """Move data to the device; samples that have nothing to move are not copied."""
        if isinstance(data, BaseDataElement) and not any(hasattr(v, 'to') for v in data.values()):
            return data
        return super().cast_data(data)

    def augment(self, views: list[Tensor], training: bool) -> list[Tensor]:
        """Augment views on the device: nothing here, for subclasses to override."""
        return views

    def _normalised(self, view: Tensor) -> Tensor:
        if not self._enable_normalize:
            return view.float()
        # Bytes are converted while they are read: the difference is the only float copy.
        if view.dtype != torch.uint8:
            view = view.float()
        mean, std = (value.view(-1, *(1, ) * (view.ndim - 2)) for value in (self.mean, self.std))
        return torch.sub(view, mean).div_(std)
