"""Joints as maps of labels, and PCK: the percentage of correct keypoints."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MOST_LIKELY = 5  # cells whose mean is the position of a joint
PERSON_SHARE = 0.6  # of the diagonal of the joints' box: the size of a person


def draw_keypoints(points: Tensor, grid: Sequence[int]) -> Tensor:
    """Labels (1 + J, h, w) of joints, the first of cells without any, as CropMAE and CRW draw them.

    A joint is a Gaussian of sigma 0.5 with peak 1, centred at the nearest cell and cut to 4 x 4.
    ``points`` are x and y (2, J) in cells, ``grid`` is h and w.
    """
    x, y = ((torch.arange(length)[None] - (centre + 0.5).floor()[:, None])
            for centre, length in zip(points, grid[::-1], strict=True))
    columns, rows = (torch.exp(-2 * axis**2) * ((axis >= -2) & (axis <= 1)) for axis in (x, y))
    joints = rows[:, :, None] * columns[:, None]
    return torch.cat([(joints.sum(0, keepdim=True) == 0).to(joints), joints])


def locate_keypoints(labels: Tensor) -> Tensor:
    """x and y (2, J) in cells: the weighted mean of the five likeliest; NaN if labels are all 0."""
    weights, cells = labels[1:].flatten(1).topk(min(MOST_LIKELY, labels[0].numel()))
    weights = weights / weights.sum(1, keepdim=True)
    x, y = cells % labels.shape[2], cells // labels.shape[2]
    return torch.stack([(x * weights).sum(1), (y * weights).sum(1)])


def count_keypoints(truth: np.ndarray, predicted: np.ndarray,
                    thresholds: Sequence[float]) -> np.ndarray:
    """Count joints that are as close to the truth as a share of the person's size.

    As in the evaluators of CRW and CropMAE: a person is 0.6 of the diagonal of the box around the
    true joints; joints without a prediction are left out, also of the box; the first frame, which
    is given, does not count.

    Positions are x and y (2, J, T) in px, NaN where there is no prediction. Returned are, for each
    joint (J, 1 + thresholds), all predictions and those within each threshold.
    """
    known = ~np.isnan(predicted[0])
    box = np.where(known, truth, -np.inf).max(1) - np.where(known, truth, np.inf).min(1)
    with np.errstate(invalid='ignore', divide='ignore'):  # of a single joint, or none
        distance = np.linalg.norm(predicted - truth, axis=0) / (
            PERSON_SHARE * np.linalg.norm(box, axis=0))
    return np.stack([known[:, 1:].sum(1), *(
        (distance[:, 1:] <= threshold).sum(1) for threshold in thresholds)], axis=1)


def keypoint_accuracy(counts: np.ndarray) -> list[float]:
    """Shares (0 to 1) of :func:`count_keypoints` per threshold, their means over the joints."""
    seen = counts[counts[:, 0] > 0]
    return (seen[:, 1:] / seen[:, :1]).mean(0).tolist()
