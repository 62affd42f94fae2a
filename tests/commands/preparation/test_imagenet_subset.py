"""Nested, stratified lists against their definition."""
import math
import random
from collections import Counter
from itertools import pairwise

import pytest

from vicmae_mm.commands.preparation.imagenet_subset import nested_subsets

PERCENTAGES = (1, 5, 10, 25, 50, 75, 100)
SIZES = {0: 1, 1: 7, 2: 100, 3: 1300, 4: 732}  # ImageNet's classes have 732 to 1300 images
IMAGES = [(f'{label}/{i}.jpg', label) for label, size in SIZES.items() for i in range(size)]


def test_every_class_gives_its_share():
    for percentage, images in nested_subsets(IMAGES, PERCENTAGES).items():
        assert Counter(label for _, label in images) == {
            label: max(1, math.floor(size * percentage / 100)) for label, size in SIZES.items()}
        assert len(set(images)) == len(images) and set(images) <= set(IMAGES)


def test_smaller_lists_lie_in_larger_ones():
    subsets = nested_subsets(IMAGES, PERCENTAGES)
    for small, large in pairwise(PERCENTAGES):
        assert set(subsets[small]) < set(subsets[large])


def test_the_draw_is_the_seeds():
    first = nested_subsets(IMAGES, [10], seed=3)
    shuffled = random.Random(1).sample(IMAGES, len(IMAGES))
    assert nested_subsets(shuffled, [1, 10], seed=3)[10] == first[10]
    assert nested_subsets(IMAGES, [10], seed=4) != first
    # a random draw, not the first files: of 130 of 1300, about 13 are among the first 130
    early = sum(int(path[2:-4]) < 130 for path, label in first[10] if label == 3)
    assert 3 <= early <= 26


@pytest.mark.parametrize('label', [0, 1])
def test_a_repeated_image(label):
    with pytest.raises(ValueError, match=r'0/0\.jpg is listed twice'):
        nested_subsets([('0/0.jpg', 0), ('0/0.jpg', label)], [10])
