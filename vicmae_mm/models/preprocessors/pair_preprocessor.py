"""Frames as the data loader delivers them, made what the model takes, on the model's device."""
from typing import Any

import torch
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from torch import Tensor

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class PairDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's ``SelfSupDataPreprocessor``, to the last bit, with one float copy of a view.

    The stock class makes three: of the bytes, of the difference and of the quotient.

    Args:
        mean, std (Sequence[float], optional): Of the channels, in 0 to 255. None: not normalised.
        non_blocking (bool): Copy pinned batches to the GPU while it computes. Defaults to False.
        to_rgb, bgr_to_rgb, rgb_to_bgr, ...: As those of the stock class.

    Raises:
        ValueError: The views are not stacked (when called).
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Bring a batch to the device, augment and normalise it.

        Args:
            data: ``inputs``, a list of views (B, 3, H, W) in 0 to 255, uint8 or float, or one
                view; ``data_samples``, which may be left out.
            training: Whether to augment, for subclasses.

        Returns:
            ``inputs`` in float32, as many as they were, and ``data_samples``.
        """
        inputs = data['inputs']
        views = [inputs] if isinstance(inputs, Tensor) else inputs
        if not all(isinstance(view, Tensor) for view in views):
            raise InputError(
                f'{type(self).__name__} takes views that are stacked, (B, 3, H, W) each: set '
                "train_dataloader.collate_fn=dict(type='default_collate').")
        views = self.cast_data(views)
        if self._channel_conversion:
            views = [view[:, [2, 1, 0]] for view in views]
        views = [self._normalised(view) for view in self.augment(views, training)]
        return dict(inputs=views[0] if isinstance(inputs, Tensor) else views,
                    data_samples=self.cast_data(data.get('data_samples')))

    def augment(self, views: list[Tensor], training: bool) -> list[Tensor]:
        """What a subclass does to the views on the device: nothing here."""
        return views

    def _normalised(self, view: Tensor) -> Tensor:
        if not self._enable_normalize:
            return view.float()
        if view.dtype != torch.uint8:
            view = view.float()
        return torch.sub(view, self.mean).div_(self.std)  # bytes become float as they are read
