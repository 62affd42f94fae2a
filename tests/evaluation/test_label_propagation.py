"""Label propagation against loops in double precision, and where the answer is known."""
import math
from itertools import product

import pytest
import torch
from torch import nn

from vicmae_mm.evaluation import label_propagation
from vicmae_mm.evaluation.label_propagation import LabelPropagation
from vicmae_mm.models import Encoder


def by_loops(maps, first, temperature, top_k, radius, num_context):
    """The definition, one cell at a time; frames before the first are copies of it."""
    labels = [first]
    for number in range(1, len(maps)):
        rows = []
        for y, x in product(*map(range, maps[0].shape[1:])):
            query, found = maps[number][:, y, x], []
            places = [(0, math.inf)] + [(max(0, number - back), radius)
                                        for back in range(1, num_context + 1)]
            for frame, limit in places:
                for row, column in product(*map(range, maps[0].shape[1:])):
                    if math.dist((y, x), (row, column)) < limit:
                        key = maps[frame][:, row, column]
                        cosine = (query @ key / query.norm() / key.norm()).item()
                        found.append((cosine, labels[frame][:, row, column]))
            found = sorted(found, key=lambda pair: -pair[0])[:top_k]
            weights = [math.exp(cosine / temperature) for cosine, _ in found]
            rows.append(sum(w * label for w, (_, label) in zip(weights, found, strict=True))
                        / sum(weights))
        labels.append(torch.stack(rows, dim=1).unflatten(1, maps[0].shape[1:]))
    return torch.stack(labels)


def moving_maps(count, grid, dtype=torch.float64):
    base = torch.randn(6, *grid, dtype=dtype)
    return [base.roll((number // 2, number), (1, 2)) + 0.3 * torch.randn(6, *grid, dtype=dtype)
            for number in range(count)]


@pytest.mark.parametrize('settings', [
    (0.7, 7, 20, 6), (0.1, 3, 2, 2), (1., 1, 1, 1), (0.7, 5, math.sqrt(2), 3), (0.7, 4, 5, 0),
    (0.7, 100, 1.5, 2)])
def test_equals_loops_in_double_precision(settings, monkeypatch):
    maps, first = moving_maps(5, (3, 5)), torch.rand(3, 3, 5, dtype=torch.float64)
    expected = by_loops(maps, first, *settings)
    assert not torch.allclose(expected[-1], expected[0], atol=0.1)
    actual = torch.stack([*LabelPropagation(*settings)(maps, first)])
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0)
    monkeypatch.setattr(label_propagation, 'BLOCK', 40)  # two rows of 15 cells
    torch.testing.assert_close(torch.stack([*LabelPropagation(*settings)(maps, first)]), actual)
    single = LabelPropagation(*settings)([each.float() for each in maps], first)
    torch.testing.assert_close(torch.stack([*single]).double(), expected, atol=1e-5, rtol=0)


def test_labels_of_a_still_clip_stay():
    still, first = torch.randn(16, 6, 9), torch.rand(4, 6, 9)
    for labels in LabelPropagation()([still] * 30, first):
        torch.testing.assert_close(labels, first, atol=1e-6, rtol=0)


class Patches(nn.Module):
    """Features of patches of 4 px, which do not depend on the position."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 32, 4, stride=4)

    def forward(self, images):
        return self.layer(images)


def test_labels_move_with_the_image():
    image = torch.randint(0, 256, (3, 24, 32))
    images = torch.stack([image.roll((4 * number, -8 * number), (1, 2)) for number in range(6)])
    with torch.no_grad():
        maps = Encoder(Patches()).feature_map(images)
    first = torch.rand(3, 6, 8)
    for number, labels in enumerate(LabelPropagation()(maps, first)):
        torch.testing.assert_close(labels, first.roll((number, -2 * number), (1, 2)))


def test_frames_are_used_one_at_a_time():
    read = []

    def maps():
        for number in range(5):
            read.append(number)
            yield torch.randn(4, 2, 2)

    labels = LabelPropagation()(maps(), torch.rand(2, 2, 2))
    for number in range(5):
        next(labels)
        assert read == [*range(number + 1)]


@pytest.mark.parametrize('wrong', [
    dict(temperature=0), dict(temperature=math.nan), dict(top_k=0), dict(radius=0),
    dict(radius=math.nan), dict(num_context=-1)])
def test_constants_out_of_range_are_refused(wrong):
    (name, value), = wrong.items()
    with pytest.raises(ValueError, match=f'{name}={value}.*should have'):
        LabelPropagation(**wrong)
