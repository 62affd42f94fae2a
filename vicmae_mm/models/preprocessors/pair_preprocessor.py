"""Normalise frame pairs on the model's device."""
from typing import Any

import torch
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from torch import Tensor

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


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

        Args:
            data: ``inputs``, a list of views (B, 3, H, W) in 0 to 255, uint8 or float, or one
                view; optionally ``data_samples``.
            training: Passed to :meth:`augment`.

        Returns:
            ``inputs`` in float32, a list or one view as before, and ``data_samples``.

        Raises:
            ValueError: If the views are not stacked.
        """
        inputs = data['inputs']
        views = [inputs] if isinstance(inputs, Tensor) else inputs
        if not all(isinstance(view, Tensor) for view in views):
            raise InputError(
                f'{type(self).__name__} needs stacked views, (B, 3, H, W) each: set '
                "train_dataloader.collate_fn=dict(type='default_collate').")
        views = self.cast_data(views)
        if self._channel_conversion:
            views = [view[:, [2, 1, 0]] for view in views]
        views = [self._normalised(view) for view in self.augment(views, training)]
        return dict(inputs=views[0] if isinstance(inputs, Tensor) else views,
                    data_samples=self.cast_data(data.get('data_samples')))

    def augment(self, views: list[Tensor], training: bool) -> list[Tensor]:
        """Augment views on the device: nothing here, for subclasses to override."""
        return views

    def _normalised(self, view: Tensor) -> Tensor:
        if not self._enable_normalize:
            return view.float()
        # Bytes are converted while they are read: the difference is the only float copy.
        if view.dtype != torch.uint8:
            view = view.float()
        return torch.sub(view, self.mean).div_(self.std)
