"""J and F of DAVIS (arXiv 1704.00675), and the mean IoU of classes."""
import math
from collections.abc import Sequence

import cv2
import numpy as np

CONTOUR_TOLERANCE = 0.008  # share of the diagonal

Scores = dict[str, dict[str, float]]  # 'J' and 'F': mean, recall and decay


def region_similarity(truth: np.ndarray, predicted: np.ndarray) -> float:
    """J: intersection over union of two masks, bool (H, W); 1 if both are empty."""
    union = int(np.count_nonzero(truth | predicted))
    return int(np.count_nonzero(truth & predicted)) / union if union else 1.


def contour_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F: F-measure of the contours of two masks, bool (H, W), within 0.8 % of the diagonal.

    0 if one mask has no contour, being empty or as large as the image; 1 if both have none.
    """
    radius = math.ceil(CONTOUR_TOLERANCE * math.hypot(*truth.shape))
    y, x = np.ogrid[-radius:radius + 1, -radius:radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    # A contour: pixels that differ from the next one to the right, below or diagonally.
    contours = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT,
                                 np.ones((2, 2), np.uint8), anchor=(0, 0))
                for mask in (truth, predicted)]
    if not all(contour.any() for contour in contours):
        return float(not any(contour.any() for contour in contours))
    recall, precision = (
        int(np.count_nonzero(own * cv2.dilate(other, disk))) / int(np.count_nonzero(own))
        for own, other in (contours, contours[::-1]))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.


def frame_statistics(values: Sequence[float]) -> dict[str, float]:
    """Mean over frames, recall (share above 0.5) and decay (first quarter minus last).

    The official code counts in 8 bits, so its decay differs above 256 frames; DAVIS has up to 104.
    """
    scores = np.asarray(values, float)
    # Quarters share the frame between them, k (n - 1) / 4 rounded half up.
    first, last = ((quarter * (len(scores) - 1) + 2) // 4 for quarter in (1, 3))
    decay = scores[:first + 1].mean() - scores[last:].mean()
    return dict(mean=scores.mean(), recall=(scores > 0.5).mean(), decay=decay)


def score_objects(truth: np.ndarray, predicted: np.ndarray) -> list[Scores]:
    """Score each object of a sequence as davis2017-evaluation does (semi-supervised).

    Both arguments are numbers of objects (T, H, W), 0 for the background, of three frames or more.
    The objects are 1 to the largest number in the first frame. That frame, which is given, and the
    last one do not count; 255, void, counts as background.
    """
    truth, frames = np.where(truth == 255, 0, truth), slice(1, -1)
    return [{name: frame_statistics([
        measure(*pair) for pair in zip(truth[frames] == number, predicted[frames] == number,
                                       strict=True)])
        for name, measure in (('J', region_similarity), ('F', contour_accuracy))}
        for number in range(1, int(truth[0].max()) + 1)]


def average_objects(objects: Sequence[Scores]) -> dict[str, float]:
    """Means over objects, of all sequences together: ``'J&F'``, ``'J mean'`` and so on."""
    means = {f'{name} {kind}': float(np.mean([each[name][kind] for each in objects] or math.nan))
             for name in 'JF' for kind in ('mean', 'recall', 'decay')}
    return {'J&F': (means['J mean'] + means['F mean']) / 2, **means}


def mean_iou(counts: np.ndarray) -> float:
    """Mean IoU over the classes that occur, of pixels (K, K) by true and predicted class."""
    right = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - right
    return float((right[union > 0] / union[union > 0]).mean())
