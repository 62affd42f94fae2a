"""What datasets hand to models, besides tensors and mmengine's data samples."""
from typing import Any

import torch
from mmengine.structures import BaseDataElement


class Views(BaseDataElement):
    """Crops of clips, which become a tensor on the device that needs them.

    It stands for a sample's ``inputs`` from the worker to the data preprocessor. Any of mmengine's
    calls :meth:`to` and so gets the tensor; ``vicmae_mm.ViewsDataPreprocessor`` normalises the
    frames before they are cut.

    Attributes:
        frames (Tensor): The frames, each once (D, H, W, C).
        clips (Tensor): Places in them, int64 (clips, T), or all clips in a row (clips * T,).
        corners (list[tuple[int, int]]): x and y of each crop's upper left pixel.
        size (tuple[int, int]): Height h and width w of the crops, in pixels.
    """

    frames: torch.Tensor
    clips: torch.Tensor
    corners: list[tuple[int, int]]
    size: tuple[int, int]

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Move the frames as ``Tensor.to`` would, and cut the views there."""
        return self.cut(self.frames.to(*args, **kwargs))

    def cut(self, frames: torch.Tensor) -> torch.Tensor:
        """Cut the views out of ``frames``, or of what was made of them on another device.

        Returns:
            Tensor: (crops * clips, C, T, h, w), or (crops * clips * T, C, h, w) of clips in a
            row. The first crop of every clip comes first. Channels lie last in memory, as after
            mmaction2's ``FormatShape``.
        """
        clips = self.clips.to(frames.device)
        height, width = self.size
        views = frames.new_empty(len(self.corners), clips.numel(), height, width, frames.shape[-1])
        for view, (x, y) in zip(views, self.corners, strict=True):
            crop = frames[:, y:y + height, x:x + width]
            torch.index_select(crop, 0, clips.flatten(), out=view)
        return views.unflatten(1, clips.shape).flatten(0, 1).movedim(-1, 1)
