"""The metric of PASCAL VOC 2007."""
import torch
from mmpretrain.evaluation.metrics.multi_label import AveragePrecision
from mmpretrain.evaluation.metrics.voc_multi_label import VOCMetricMixin
from torch import Tensor

from vicmae_mm.registry import METRICS
from vicmae_mm.utils.errors import InputError


def eleven_point_average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Average, over the recalls 0, 0.1, ..., 1, of the best precision at that recall or above.

    Everingham et al., "The PASCAL Visual Object Classes Challenge", section 4.2. Samples with
    equal scores share one rank, so that their order does not matter. Targets (N,) are 1 where the
    class is present, 0 where it is absent, -1 to ignore. The result is a scalar, 0 to 1, float64; 0
    if no sample has the class.
    """
    counted = targets >= 0
    scores, order = scores[counted].sort(descending=True, stable=True)
    hits = targets[counted][order].double().cumsum(0)
    ends = torch.ones_like(scores, dtype=torch.bool)
    ends[:-1] = scores[1:] != scores[:-1]
    ranks = torch.arange(1, len(scores) + 1, device=scores.device)
    hits, precision = hits[ends], (hits / ranks)[ends]
    if not len(hits) or hits[-1] == 0:
        return precision.new_zeros(())
    # Compares recall >= step / 10 in whole numbers: 0.1 and its multiples are not exact.
    best = [precision[hits * 10 >= step * hits[-1]].max() for step in range(11)]
    return torch.stack(best).mean()


@METRICS.register_module()
class ElevenPointMAP(VOCMetricMixin, AveragePrecision):
    """Mean over the classes of the 11-point average precision, in percent.

    Same inputs and results (``multi-label/mAP`` or ``AP_classwise``) as
    ``mmpretrain.VOCAveragePrecision``, which computes the area under the curve, as VOC since 2010.

    Args:
        average: ``'macro'`` for the mean over the classes, None for each class.
        difficult_as_positive: How an image counts for a class whose objects in it are all
            marked difficult; by default it is ignored, as in the challenge.
    """

    @staticmethod
    def calculate(pred: Tensor, target: Tensor, average: str | None = 'macro') -> Tensor:
        """Average precision, in percent, of scores (N, K) against targets (N, K) of 1, 0 and -1.

        A scalar, or one value per class (K,) with ``average=None``; a ValueError if shapes differ.
        """
        if pred.ndim != 2 or pred.shape != target.shape:
            raise InputError(f'Scores {tuple(pred.shape)} and targets {tuple(target.shape)} '
                             'should have the same shape (N, K).')
        precisions = 100 * torch.stack([eleven_point_average_precision(*columns)
                                        for columns in zip(pred.T, target.T, strict=True)])
        return precisions.mean() if average == 'macro' else precisions
