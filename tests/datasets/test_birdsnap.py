"""Birdsnap in the layout of its distribution."""
from pathlib import Path

import pytest

from tests.helpers.transfer_datasets import COUNTS, make_birdsnap
from vicmae_mm.datasets import Birdsnap
from vicmae_mm.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    make_birdsnap(tmp_path)
    return tmp_path / 'birdsnap'


def test_splits_and_labels(root):
    for split in ('train', 'test'):
        dataset = DATASETS.build(
            dict(type='vicmae_mm.Birdsnap', data_root=str(root), split=split))
        labels = dataset.get_gt_labels().tolist()
        assert labels == [0, 5] * COUNTS[split]
        paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        # the folder of the fake says the label: Bird_<label>
        assert [int(path.split('Bird_')[1].split('/')[0]) for path in paths] == labels
        assert dataset.CLASSES[5] == 'Bird "5' and len(dataset.CLASSES) == 6
    tests = (root / 'test_images.txt').read_text().split()[1:]
    assert all(path.endswith(tuple(tests)) for path in paths)


def test_images_missing_on_disk_are_left_out(root):
    (root / 'images/Bird_0/1.jpg').unlink()
    assert len(Birdsnap(str(root))) == 2 * COUNTS['train'] - 1
    (root / 'images').rename(root / 'elsewhere')
    assert len(Birdsnap(str(root), data_prefix='elsewhere')) == 2 * COUNTS['train'] - 1
    with pytest.raises(FileNotFoundError, match=r"None of the 6 images .* for 'test'"):
        Birdsnap(str(root), split='test')


def test_images_that_the_machine_fails_to_find_are_not_missing(root, monkeypatch):
    stat = Path.stat

    def fail(path, **options):
        if path.suffix == '.jpg':
            raise PermissionError(13, 'Permission denied', str(path))
        return stat(path, **options)

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(Path, 'stat', fail)
        Birdsnap(str(root))


def test_errors(root):
    with pytest.raises(ValueError, match="split='val' should be 'train' or 'test'"):
        Birdsnap(str(root), split='val')
    (root / 'species.txt').write_text('id,common\n1,Gull\n')
    with pytest.raises(ValueError, match=r'species\.txt lacks the column\(s\) common, id'):
        Birdsnap(str(root))
    (root / 'species.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'species\.txt'):
        Birdsnap(str(root))
