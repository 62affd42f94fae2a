"""Nested, stratified lists: against the definition, and through the tool."""
import math
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets.preparation.imagenet_subset import nested_subsets, read_list, scan_classes

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


@pytest.mark.parametrize('percentage', [0, 101])
def test_shares_out_of_range(percentage):
    with pytest.raises(ValueError, match=f'{percentage} % is no share'):
        nested_subsets(IMAGES, [percentage])


def test_a_repeated_image():
    with pytest.raises(ValueError, match=r'0/0\.jpg is listed twice'):
        nested_subsets([('0/0.jpg', 0), ('0/0.jpg', 0)], [10])


@pytest.mark.parametrize('line', ['a.jpg', 'a.jpg -1', 'a.jpg x', ''])
def test_lines_without_a_label(tmp_path, line):
    (tmp_path / 'list.txt').write_text(f'b c.jpg 0\n{line}\n')
    with pytest.raises(ValueError, match=r'list\.txt, line 2: .*is not "path label"'):
        read_list(str(tmp_path / 'list.txt'))


def test_folders_and_their_list_agree(tmp_path):
    images = scan_classes(str(write_photos(tmp_path / 'photos')))
    assert images[:3] == [('class_0/0.png', 0), ('class_0/1.png', 0), ('class_1/0.png', 1)]
    (tmp_path / 'list.txt').write_text(''.join(f'{path} {label}\n' for path, label in images))
    assert read_list(str(tmp_path / 'list.txt')) == images


def run(repo: Path, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(repo / 'tools/data/make_imagenet_subset.py'), *map(str, args)],
        capture_output=True, text=True, timeout=60, check=False)


def test_the_tool_writes_what_the_configs_read(repo, tmp_path):
    write_photos(tmp_path / 'train', images=4)
    done = run(repo, tmp_path)
    assert done.returncode == 0, done.stderr
    assert '12 images of 3 classes' in done.stdout
    assert ' 50 %: 6 images, 2 to 2 a class' in done.stdout
    wanted = {Config.fromfile(path).train_dataloader.dataset.ann_file
              for path in (repo / 'configs/transfer/imagenet').glob('semi_*.py')} - {''}
    assert len(wanted) == 6
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.glob('subsets/*')} == wanted


@pytest.mark.parametrize('prepare, message', [
    (lambda root: None, 'No such file or directory'),
    (lambda root: (root / 'train').mkdir(), 'holds no class folders'),
    (lambda root: (root / 'train/empty').mkdir(parents=True), 'empty holds no images'),
])
def test_the_tool_says_what_is_wrong(repo, tmp_path, prepare, message):
    prepare(tmp_path)
    done = run(repo, tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith('error: ')
    assert message in done.stderr and 'Traceback' not in done.stderr
