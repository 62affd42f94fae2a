"""What the toy scale trains on and measures."""
import numpy as np
import pytest
from PIL import Image

from tests.helpers.models import IMG_SIZE, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from vicmae_mm.commands.quickstart.measuring import draw_images
from vicmae_mm.commands.reproduce import toy_world
from vicmae_mm.models import Encoder


def test_no_digit_is_in_two_worlds():
    worlds = toy_world.split_worlds()
    digits = [glyph.tobytes() for world in worlds.values() for glyph in world.glyphs]
    assert [len(world.labels) for world in worlds.values()] == [1078, 240, 479]
    # some of scikit-learn's digits are equal, within and between the parts of the set
    assert len(digits) == 1797 and len(set(digits)) > 1790


@pytest.fixture
def few_digits(monkeypatch):
    few = {name: type(world)(world.glyphs[:120], world.labels[:120], world.photo)
           for name, world in toy_world.split_worlds().items()}
    monkeypatch.setattr(toy_world, 'split_worlds', lambda: few)
    return few


def test_lists_are_nested_shares_of_digits_in_all_of_their_poses(few_digits, tmp_path):
    root = toy_world.write_images(tmp_path, seed=0, size=32)
    before = set()
    for share in toy_world.SHARES:
        lines = (root / f'subsets/train_{share:03}pct.txt').read_text().splitlines()
        assert before <= {*lines} and len(lines) == len({*lines})
        before = {*lines}
        for path, label in (line.split() for line in lines):
            assert path.split('/')[0] == label and (root / 'train' / path).is_file()
        numbers = sorted(int(line.split('/')[1][:5]) for line in lines)
        assert numbers[len(numbers) // 2:] == [each + 120 for each in numbers[:len(numbers) // 2]]
    assert len(before) == 240 == len([*(root / 'train').rglob('*.png')])
    drawn = toy_world.draw_splits(0, 32)[0]
    label = drawn.labels[7].item()
    stored = np.asarray(Image.open(root / f'train/{label}/00007.png'))
    assert np.array_equal(stored, drawn.images[7].permute(1, 2, 0))


def test_scores_are_percent_by_evaluation(few_digits, monkeypatch):
    encoder = Encoder.of(tiny_vicmae(data_preprocessor=PREPROCESSOR))
    # The images to measure on are those that train the probes.
    monkeypatch.setattr(toy_world, 'draw_splits', lambda *args: [
        draw_images(few_digits['train'], 1, IMG_SIZE, 0)] * 2)
    scores = toy_world.measure_digits(encoder, 0, IMG_SIZE)
    assert scores.keys() == {
        'linear', 'knn', 'linear_patches', 'knn_patches', 'propagation'}
    assert scores['linear'] > 30 and scores['knn'] > 30 and 20 < scores['propagation'] < 100
