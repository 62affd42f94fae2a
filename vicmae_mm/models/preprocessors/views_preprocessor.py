"""The views of a test, normalised on the model's device before they are cut."""
from typing import Any

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from torch import Tensor

from vicmae_mm.registry import MODELS
from vicmae_mm.structures import Views


@MODELS.register_module()
class ViewsDataPreprocessor(ActionDataPreprocessor):
    """mmaction2's ``ActionDataPreprocessor``, to the last bit, with less work for ``PackViews``.

    The frames of a video are normalised, not the views, which are three times as many numbers for
    7 x 3 views of a Kinetics video. All else is left to the stock class.

    Args:
        **kwargs: Those of the stock class.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Bring a batch to the device and normalise it.

        Args:
            data: ``inputs``, a list with :class:`Views` of each video, all of one shape, or
                whatever the stock class takes; ``data_samples``.
            training: Whether to mix samples; not for views.

        Returns:
            ``inputs``, (B, views, C, T, H, W) in float32, or (B, frames, C, H, W), and
            ``data_samples``.
        """
        if training or not (isinstance(data, dict) and isinstance(data['inputs'][0], Views)):
            return super().forward(data, training)
        clips = [views.cut(self._normalised(views.frames)) for views in data['inputs']]
        batch = clips[0][None] if len(clips) == 1 else torch.stack(clips)
        return dict(inputs=batch, data_samples=self.cast_data(data['data_samples']))

    def _normalised(self, frames: Tensor) -> Tensor:
        """Frames (D, H, W, C) in 0 to 255, as float32 on the device."""
        frames = self.cast_data(frames)
        if self.to_rgb:
            frames = frames[..., [2, 1, 0]]
        if not self._enable_normalize:
            return frames.float() if self.to_float32 else frames
        # Whole rows at once: a CPU would do no more than the three channels of a pixel at once.
        width, channels = frames.shape[2:]
        mean, std = (value.flatten().expand(channels).repeat(width)
                     for value in (self.mean, self.std))
        values = frames.flatten(2).to(torch.float32, copy=True)
        return values.sub_(mean).div_(std).view(frames.shape)
