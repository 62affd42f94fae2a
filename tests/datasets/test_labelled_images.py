"""Lists and folders give the same as mmpretrain's dataset; errors say what is wrong."""
import pytest
from mmpretrain.datasets import CustomDataset

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets.labelled_images import LabelledImages


@pytest.fixture
def photos(tmp_path):
    root = write_photos(tmp_path / 'photos')
    (root / 'list.txt').write_text('class_2/1.png 2\nclass_0/0.png 0\n')
    return root


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


@pytest.mark.parametrize('ann_file, count', [('', 6), ('list.txt', 2)])
def test_equal_to_mmpretrains(photos, ann_file, count):
    ours = infos(LabelledImages(data_root=str(photos), ann_file=ann_file))
    assert ours == infos(CustomDataset(data_root=str(photos), ann_file=ann_file))
    assert len(ours) == count


@pytest.mark.parametrize('setting, value', [('data_prefix', 'train'), ('ann_file', 'none.txt')])
def test_missing_files_and_folders(photos, setting, value):
    with pytest.raises(FileNotFoundError, match=(
            rf'{value} does not exist: set data_root and {setting} of the dataset')):
        LabelledImages(data_root=str(photos), **{setting: value})


def test_a_list_without_labels(photos):
    (photos / 'list.txt').write_text('class_2/1.png\n')
    with pytest.raises(ValueError, match=r'line 1: .class_2/1\.png. is not `path label`'):
        LabelledImages(data_root=str(photos), ann_file='list.txt')
