"""Held-out samples, the choice of the penalty, and the metrics."""
import pytest
import torch
from mmpretrain.evaluation import SingleLabelMetric

from vicmae_mm.commands.transfer.tasks import PAPER, TASKS, choose_tasks
from vicmae_mm.evaluation import protocol
from vicmae_mm.evaluation.protocol import (
    PENALTIES,
    TOP_1,
    Features,
    Splits,
    hold_out,
    linear_score,
    mean_per_class,
    top_1,
)


def test_a_share_of_each_class_is_held_out():
    targets = torch.tensor([0] * 50 + [1] * 10 + [2] * 2 + [3])
    data = Features(torch.arange(63.)[:, None], targets)
    rest, held = hold_out(data)
    assert held.targets.bincount().tolist() == [10, 2, 1]
    assert rest.targets.bincount().tolist() == [40, 8, 1, 1]
    assert sorted(torch.cat([rest.features, held.features])[:, 0].tolist()) == list(range(63))
    assert hold_out(data)[1].features.equal(held.features)


def test_nothing_to_hold_out():
    with pytest.raises(ValueError, match='no class has two images'):
        hold_out(Features(torch.zeros(3, 2), torch.arange(3)))


def test_the_grid_is_the_protocols():
    assert len(PENALTIES) == 45
    assert PENALTIES[0] == pytest.approx(1e5) and PENALTIES[-1] == pytest.approx(1e-6)
    steps = torch.tensor(PENALTIES).log10().diff()
    assert steps.tolist() == pytest.approx([-0.25] * 44, abs=1e-5)


def test_mean_per_class_is_mmpretrains_macro_recall():
    scores, targets = torch.rand(200, 5), (torch.rand(200) * 5 * torch.rand(200)).long()
    recall = SingleLabelMetric.calculate(scores.argmax(1), targets, num_classes=5)[1]
    assert mean_per_class(scores, targets) == pytest.approx(recall.item(), abs=1e-4)
    assert mean_per_class(scores, targets) != pytest.approx(top_1(scores, targets), abs=0.1)


def test_a_class_without_sample_does_not_count():
    scores = torch.tensor([[1., 0, 0], [1, 0, 0], [0, 1, 0]])
    assert mean_per_class(scores, torch.tensor([0, 1, 1])) == pytest.approx(75)


def test_validation_chooses_and_the_final_fit_has_it_too(monkeypatch):
    penalties = [100., 1., 0.01]
    monkeypatch.setattr(protocol, 'PENALTIES', penalties)
    fits = []

    class Recorded(protocol.LogisticRegression):
        def fit(self, penalty, start=None):
            fits.append((len(self.features), penalty))
            return super().fit(penalty, start)

    monkeypatch.setattr(protocol, 'LogisticRegression', Recorded)
    centres = torch.randn(4, 8)

    def draw(count):
        labels = torch.arange(count) % 4
        return Features(centres[labels] + 1.5 * torch.randn(count, 8), labels)

    splits = Splits(draw(60), draw(40), draw(2000))
    result = linear_score(splits, TOP_1, 4)
    assert fits == [(60, 100.), (60, 1.), (60, 0.01), (100, result.penalty)]
    vals = []
    for penalty in penalties:
        fitted = protocol.LogisticRegression(splits.train.features, splits.train.targets, 4)
        vals.append(top_1(fitted.fit(penalty).scores(splits.val.features), splits.val.targets))
    assert result.val == max(vals) and penalties.index(result.penalty) == vals.index(max(vals))
    assert 40 < result.test < 99


def test_table_3():
    assert [task.name for task in TASKS] == [
        'Food', 'CIFAR10', 'CIFAR100', 'Birdsnap', 'SUN397', 'Cars', 'Aircraft', 'VOC2007', 'DTD',
        'Pets', 'Caltech101', 'Flowers']
    assert all(len(row) == len(TASKS) for row in PAPER.values())
    # the paper's text: ViC-MAE is best on 9 of 12, MAE on Cars, Aircraft and Pets
    best = {task.name: max(PAPER, key=lambda row, name=task.name: PAPER[row][name])
            for task in TASKS}
    assert {name for name, row in best.items() if row.startswith('MAE')} == {
        'Cars', 'Aircraft', 'Pets'}
    assert choose_tasks(['DTD', 'all']) == list(TASKS)
    assert choose_tasks(['flowers', 'FOOD']) == [TASKS[0], TASKS[-1]]
