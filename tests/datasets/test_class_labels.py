"""The classes of several datasets: named the same, labelled the same, or refused."""
from pathlib import Path

import pytest
from mmaction.datasets import VideoDataset
from mmpretrain.datasets import CustomDataset, ImageNet
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from tests.helpers.videos import make_video
from vicmae_mm.datasets import LabelledImages, VideoPairDataset
from vicmae_mm.datasets.class_labels import (
    ClassLabels,
    align_classes,
    check_same_labels,
    class_labels,
)

TRAIN = ('cat', 'dog', 'fish')


@pytest.fixture
def photos(tmp_path):
    """Makes ``tmp_path/split/class/0.png`` (empty files)."""
    def photos(split: str, *classes: str, suffix: str = '.png') -> Path:
        for name in classes:
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            (folder / f'0{suffix}').touch()
        return tmp_path / split
    return photos


def aligned(train, other) -> dict[str, int]:
    """What the labels by file become."""
    reference = class_labels(train, 'train')
    if align_classes(other, class_labels(other, 'val'), reference):
        assert list(other.metainfo['classes']) == list(train.metainfo['classes'])
    check_same_labels(class_labels(other, 'val'), reference)
    records = [other.get_data_info(index) for index in range(len(other))]
    return {Path(record.get('img_path') or record['filename']).parent.name:
            record['gt_label' if 'gt_label' in record else 'label'] for record in records}


@pytest.mark.parametrize('kind', [LabelledImages, CustomDataset])
@pytest.mark.parametrize('serialize', [True, False])
def test_a_class_that_is_missing_keeps_the_labels_of_the_others(photos, kind, serialize):
    train = kind(data_prefix=str(photos('train', *TRAIN)))
    val = kind(data_prefix=str(photos('val', 'dog', 'fish')), serialize_data=serialize)
    assert aligned(train, val) == dict(dog=1, fish=2)
    assert val.folder_to_idx == dict(dog=1, fish=2)


@pytest.mark.parametrize('kind', [LabelledImages, CustomDataset])
@pytest.mark.parametrize('names', [
    ('dog', 'fish', 'zebra'), ('Cat', 'dog', 'fish'), ('cat', 'dog ', 'fish'),
    ('cat', 'dog', 'fish', 'zebra'), ('lion', 'tiger', 'wolf')])
def test_an_unknown_class_is_refused_by_name(photos, kind, names):
    train = kind(data_prefix=str(photos('train', *TRAIN)))
    val = kind(data_prefix=str(photos('val', *names)))
    new = next(name for name in sorted(names) if name not in TRAIN)
    with pytest.raises(ValueError, match=(
            rf"The val data in .*val have the class '{new}'.*, which the train data in .* lack")):
        aligned(train, val)


def test_stock_imagenet_is_compared_by_its_folders(photos):
    """Its names are the 1000 words whatever the folders."""
    ids = [f'n{number:08}' for number in range(1000)]
    train = ImageNet(data_prefix=str(photos('train', *ids)))
    val = ImageNet(data_prefix=str(photos('val', *ids[1:], 'n99999999')))
    with pytest.raises(ValueError, match="have the class 'n99999999'"):
        aligned(train, val)
    words, numbers = ClassLabels('a', tuple(IMAGENET_CATEGORIES)), ClassLabels('b', tuple(ids))
    assert not align_classes(val, words, numbers) and not align_classes(val, numbers, words)


def test_hidden_folders_of_stock_datasets_are_refused(photos):
    dataset = CustomDataset(data_prefix=str(photos('val', 'cat', '.ipynb_checkpoints')))
    with pytest.raises(ValueError, match=r"hidden folder '\.ipynb_checkpoints' for a class"):
        class_labels(dataset, 'val')


def test_classes_in_another_order(photos):
    """Named by a list or file of classes, which stock datasets believe without a look."""
    train = LabelledImages(data_prefix=str(photos('train', *TRAIN)))
    (photos('val', *TRAIN) / 'list.txt').write_text('x/1.png 0\ny/1.png 1\nz/1.png 2\n')
    val = LabelledImages(data_prefix=str(photos('val2', *TRAIN)), classes=['fish', 'cat', 'dog'])
    assert val.folder_to_idx == dict(fish=0, cat=1, dog=2)
    assert aligned(train, val) == dict(cat=0, dog=1, fish=2)
    listed = CustomDataset(data_root=str(train.img_prefix) + '/../val', ann_file='list.txt',
                           classes=['fish', 'cat', 'dog'])
    assert aligned(train, listed) == dict(x=2, y=0, z=1)


@pytest.mark.parametrize('labels, message', [
    ((0, 1, 2), ''), ((0, 0, 2), ''), ((1, 2, 0), "label 1 for the folder 'cat', .* the label 0"),
    ((1, 2, 3), 'label 1 for the folder'), ((2, 1, 2), '')])  # the last: folders are not classes
def test_a_list_must_agree_with_the_folders_of_train(photos, labels, message):
    train = LabelledImages(data_prefix=str(photos('train', *TRAIN)))
    root = photos('val', *TRAIN)
    (root / 'list.txt').write_text(
        ''.join(f'{name}/0.png {label}\n' for name, label in zip(TRAIN, labels, strict=True)))
    val = CustomDataset(data_root=str(root), ann_file='list.txt')
    if message:
        with pytest.raises(ValueError, match=message):
            aligned(train, val)
    else:
        assert aligned(train, val) == dict(zip(TRAIN, labels, strict=True))


def test_flat_lists_that_count_from_1_and_from_0(tmp_path):
    for split, first in (('train', 1), ('val', 0)):
        (tmp_path / f'{split}.txt').write_text(
            ''.join(f'{n}.mp4 {n % 3 + first}\n' for n in range(6)))
    train, val = (VideoDataset(str(tmp_path / f'{split}.txt'), []) for split in ('train', 'val'))
    with pytest.raises(ValueError, match=r'val\.txt have labels from 0, .*train\.txt from 1: both'):
        aligned(train, val)


def test_labels_from_folders_of_videos(tmp_path):
    for split, names in (('train', TRAIN), ('val', TRAIN[1:]), ('test', ('cat', 'zebra'))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            make_video(tmp_path / split / name / '0.mp4', 2)
    train, val, test = (
        VideoPairDataset(data_prefix=dict(video=str(tmp_path / split)), labels_from_folders=True)
        for split in ('train', 'val', 'test'))
    assert aligned(train, val) == dict(dog=1, fish=2)
    assert val.get_data_info(0)['modality'] == 'RGB'
    with pytest.raises(ValueError, match="have the class 'zebra'"):
        aligned(train, test)


def test_several_labels_are_aligned_one_by_one(tmp_path):
    (tmp_path / 'val.txt').write_text('0.mp4 0 1\n1.mp4 1\n')
    val = VideoDataset(str(tmp_path / 'val.txt'), [], multi_class=True, num_classes=3,
                       metainfo=dict(classes=['fish', 'dog']))
    labels = class_labels(val, 'val')
    assert labels.used == [0, 1]
    assert align_classes(val, labels, ClassLabels('train', TRAIN))
    assert val.get_data_info(0)['label'].tolist() == [0, 1, 1]


@pytest.mark.parametrize('classes', [('cat', 'cat', 'dog'), ('cat', 'dog')])
def test_a_class_name_twice_or_too_few(tmp_path, classes):
    (tmp_path / 'list.txt').write_text('a/0.png 0\na/1.png 1\nb/0.png 2\n')
    val = CustomDataset(data_root=str(tmp_path), ann_file='list.txt', classes=classes)
    with pytest.raises(ValueError, match=r"class 'cat'|labels up to 2, but names for 2 classes"):
        align_classes(val, class_labels(val, 'val'), ClassLabels('the train data', TRAIN))
