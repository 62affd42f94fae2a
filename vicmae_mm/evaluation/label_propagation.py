"""Labels of the first frame of a video, carried to the others by the similarity of features."""
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

BLOCK = 2**24  # similarities in memory at a time, 64 MiB

Frame = tuple[Tensor, Tensor]  # normalised features (N, C) and labels (N, K) of its N cells


@dataclass(frozen=True)
class LabelPropagation:
    """Label propagation as in CropMAE's evaluation, which is CRW's; sources: docs/decisions.md.

    A cell gets the mean of the labels of its most similar cells in the first frame and the frames
    before, with weights softmax(cosine / temperature). Where there are fewer frames before, the
    first one stands in for them, so the most similar cells may be copies of one.

    Raises:
        ValueError: If a constant is out of range.
    """

    temperature: float = 0.7
    top_k: int = 7  # cells that are averaged
    radius: float = 20  # in cells: context cells this far away do not count; the first frame's do
    num_context: int = 20  # frames before, in addition to the first

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.radius > 0 and self.top_k >= 1
                and self.num_context >= 0):
            raise InputError(f'{self} should have a temperature and a radius above 0, a top_k of 1 '
                             'or more, and a num_context of 0 or more.')

    def __call__(self, maps: Iterable[Tensor], first: Tensor) -> Iterator[Tensor]:
        """Yield labels (K, h, w) of each frame, the first included.

        Args:
            maps: Features (C, h, w) of each frame; used one at a time.
            first: Labels of the first frame (K, h, w), such as shares of K classes.
        """
        frames: deque[Frame] = deque(maxlen=self.num_context)
        anchor = None
        for features in maps:
            cells = F.normalize(features.flatten(1), dim=0).T
            labels = first.to(cells).flatten(1).T if anchor is None else self._labels(
                cells, [anchor, *frames], features.shape[1:])
            anchor = anchor or (cells, labels)
            frames.append((cells, labels))
            yield labels.T.unflatten(1, features.shape[1:])

    def _labels(self, cells: Tensor, sources: list[Frame], grid: torch.Size) -> Tensor:
        """Labels (N, K) of the cells (N, C) of one frame; the first source is the first frame."""
        labels, result = torch.cat([labels for _, labels in sources]), []
        places = torch.cartesian_prod(*map(torch.arange, grid)).int().to(cells.device)
        # All similarities would take 0.2 GB at 480 x 880 px, 4 GB with patches of 8 px.
        for block in torch.arange(len(cells), device=cells.device).split(
                max(1, BLOCK // len(cells))):
            # Squares of integers: exact, also at the edge of the circle.
            outside = (places[block, None] - places).square().sum(-1) >= self.radius**2
            best = cells.new_empty(len(block), 0)
            chosen = block.new_empty(len(block), 0)
            for number, (others, _) in enumerate(sources):
                similarity = cells[block] @ others.T
                if number:
                    similarity.masked_fill_(outside, -math.inf)
                found, cell = similarity.topk(min(self.top_k, len(cells)))
                # The oldest of too few frames is the first one.
                copies = 1 + (self.num_context + 1 - len(sources)) * (number == 1)
                best = torch.cat([best, *[found] * min(copies, self.top_k)], 1)
                chosen = torch.cat(
                    [chosen, *[cell + number * len(cells)] * min(copies, self.top_k)], 1)
                best, order = best.topk(min(self.top_k, best.shape[1]))
                chosen = chosen.gather(1, order)
            # Some weight is above 0: the first frame is not limited to a radius.
            weights = (best / self.temperature).softmax(1)
            result.append((weights[..., None] * labels[chosen]).sum(1))
        return torch.cat(result)


def class_shares(mask: Tensor, grid: Sequence[int]) -> Tensor:
    """Labels (K, h, w) of a mask (H, W): the share of each class, 0 to its largest one, in cells.

    ``grid`` is h and w.
    """
    classes = torch.arange(int(mask.max()) + 1)[:, None, None]
    return F.interpolate((mask == classes).float()[None], tuple(grid), mode='bilinear')[0]


def likeliest_classes(labels: Tensor, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W), uint8, of labels (K, h, w); ``size`` is H and W."""
    scores = F.interpolate(labels[None], tuple(size), mode='bilinear')[0]
    return scores.argmax(0).byte().cpu().numpy()
