"""What datasets pass to models, besides tensors and mmengine's data samples."""
from typing import Any

import torch
from mmengine.structures import BaseDataElement


# BaseDataElement, because mmengine's data preprocessors move only these and tensors to the device.
class Views(BaseDataElement):
    """Crops of clips, stored as the frames they are cut from until they are on the device.

    ``PackViews`` sets it as a sample's ``inputs``. mmengine moves inputs by :meth:`to`, which
    returns the tensor of crops; ``vicmae_mm.ViewsDataPreprocessor`` first normalises the frames.

    Attributes:
        frames (Tensor): The distinct frames (D, H, W, C).
        clips (Tensor): Positions in ``frames``, int64 (clips, T), or (clips * T,) for 2-D models.
        corners (list[tuple[int, int]]): x and y of each crop's upper left pixel.
        size (tuple[int, int]): Height h and width w of the crops in pixels.
    """

    frames: torch.Tensor
    clips: torch.Tensor
    corners: list[tuple[int, int]]
    size: tuple[int, int]

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Move the frames as ``Tensor.to`` does, and cut the views there."""
        return self.cut(self.frames.to(*args, **kwargs))

    def cut(self, frames: torch.Tensor) -> torch.Tensor:
        """Cut the views out of ``frames``, given as (D, H, W, C) on any device.

        Returns:
            Tensor: (crops * clips, C, T, h, w), or (crops * clips * T, C, h, w) for 2-D models, in
            channels-last memory as from mmaction2's ``FormatShape``; the first crop of every clip
            comes first.
        """
        clips = self.clips.to(frames.device)
        height, width = self.size
        views = frames.new_empty(len(self.corners), clips.numel(), height, width, frames.shape[-1])
        for view, (x, y) in zip(views, self.corners, strict=True):
            crop = frames[:, y:y + height, x:x + width]
            torch.index_select(crop, 0, clips.flatten(), out=view)
        return views.unflatten(1, clips.shape).flatten(0, 1).movedim(-1, 1)
