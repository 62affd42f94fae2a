"""VOC 2007's metric against loops and closed forms."""
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample

import vicmae_mm.evaluation  # noqa: F401  (registers the metric)
from vicmae_mm.evaluation.eleven_point_map import ElevenPointMAP, eleven_point_average_precision
from vicmae_mm.registry import METRICS


def brute_force(scores, targets):
    """For every threshold precision and recall, for every level the best precision."""
    pairs = [(s, t) for s, t in zip(scores.tolist(), targets.tolist(), strict=True) if t >= 0]
    points = []
    for threshold in {score for score, _ in pairs}:
        taken = [target for score, target in pairs if score >= threshold]
        points.append((10 * sum(taken), sum(taken) / len(taken)))
    total = sum(target for _, target in pairs)
    return sum(max(precision for hits, precision in points if hits >= step * total)
               for step in range(11)) / 11


@pytest.mark.parametrize('levels', [5, 1000])
def test_equals_a_loop_over_thresholds(levels):
    for seed in range(30):
        torch.manual_seed(seed)
        scores = torch.randint(levels, (60, )) / levels
        targets = torch.randint(-1, 2, (60, ))
        assert eleven_point_average_precision(scores, targets).item() == pytest.approx(
            brute_force(scores, targets), abs=1e-12)


@pytest.mark.parametrize('ranking, expected', [
    ([1, 1, 0, 0], 1),
    ([0, 0, 1], 1 / 3),
    ([1, 0, 1], (6 * 1 + 5 * 2 / 3) / 11),  # recall 0.5 counts for the levels 0 to 0.5
    ([0, 1, 0, 1], 1 / 2),
    ([0, 0], 0),
    ([1] + [0] * 9 + [1] * 9, (2 * 1 + 9 * 10 / 19) / 11),  # a tenth of the recall, exactly
    ([-1, 1, -1, 0], 1),
])
def test_closed_forms(ranking, expected):
    scores = -torch.arange(len(ranking)).float()
    result = eleven_point_average_precision(scores, torch.tensor(ranking))
    assert result.item() == pytest.approx(expected, abs=1e-12)


def test_samples_of_one_score_have_no_order():
    scores = torch.tensor([0.5, 0.5, 0.5, 0.1])
    for targets in ([1, 0, 0, 1], [0, 0, 1, 1]):
        assert eleven_point_average_precision(scores, torch.tensor(targets)).item() == (
            pytest.approx(0.5))


def test_no_samples():
    assert eleven_point_average_precision(torch.zeros(0), torch.zeros(0)) == 0
    assert eleven_point_average_precision(torch.rand(3), -torch.ones(3)) == 0


def test_as_a_metric_of_a_config():
    scores, targets = torch.rand(40, 3), torch.randint(2, (40, 3))
    samples = []
    for score, target in zip(scores, targets, strict=True):
        sample = DataSample().set_pred_score(score).set_gt_label(target.nonzero().flatten())
        sample.gt_label_difficult = [2]
        samples.append(sample)
    ignored = targets.clone()
    ignored[:, 2][targets[:, 2] == 0] = -1
    negative = targets
    for options, expected in ((dict(), ignored), (dict(difficult_as_positive=False), negative)):
        evaluator = Evaluator(METRICS.build(dict(type='vicmae_mm.ElevenPointMAP', **options)))
        evaluator.process(samples)
        mean = sum(brute_force(scores[:, k], expected[:, k]) for k in range(3)) / 3
        assert evaluator.evaluate(40)['multi-label/mAP'] == pytest.approx(100 * mean)
    each = ElevenPointMAP.calculate(scores, targets, average=None)
    assert each.shape == (3, )


def test_shapes_that_differ():
    with pytest.raises(ValueError, match='the same shape'):
        ElevenPointMAP.calculate(torch.rand(3, 2), torch.ones(3))
