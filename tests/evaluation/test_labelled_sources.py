"""Folders of classes: what is an image of which class, and what is refused."""
import shutil

import pytest

from tests.helpers.transfer_datasets import COUNTS, make_class_folders
from vicmae_mm.evaluation.labelled_sources import open_labelled


def test_labels_are_those_of_train_in_every_split(tmp_path):
    folder = make_class_folders(tmp_path, ('train', 'val', 'test'))
    shutil.rmtree(folder / 'val/class 0')
    shutil.rmtree(folder / 'test/class 0')
    source = open_labelled('mine', folder, 8)
    assert source.num_classes == 2
    assert source.train.targets.tolist() == [0] * COUNTS['train'] + [1] * COUNTS['train']
    assert source.val.targets.unique().tolist() == [1]
    assert source.test.targets.tolist() == [1] * COUNTS['test']
    assert all('/test/class 5/' in record['img_path'] for record in source.test.records)


def test_hidden_files_and_folders_named_like_images_do_not_count(tmp_path):
    folder = make_class_folders(tmp_path)
    expected = len(open_labelled('mine', folder, 8).train)
    shutil.copytree(folder / 'train/class 0', folder / 'train/.ipynb_checkpoints')
    shutil.copytree(folder / 'train/class 0', folder / 'train/class 5/.thumbnails')
    shutil.copy(folder / 'train/class 0/1.png', folder / 'train/class 0/._1.png')
    (folder / 'train/class 0/a.png').mkdir()
    (folder / 'val/.cache').mkdir(parents=True)
    source = open_labelled('mine', folder, 8)
    assert source.num_classes == 2 and len(source.train) == expected
    assert source.val is None


def test_class_without_images(tmp_path):
    folder = make_class_folders(tmp_path)
    shutil.rmtree(folder / 'train/class 0')
    (folder / 'train/class 0').mkdir()
    with pytest.raises(ValueError, match='train/class 0 contains no images'):
        open_labelled('mine', folder, 8)


def test_class_that_is_missing_in_train(tmp_path):
    folder = make_class_folders(tmp_path)
    shutil.copytree(folder / 'test/class 5', folder / 'test/class 7')
    with pytest.raises(ValueError, match='class folders that are missing in train: class 7'):
        open_labelled('mine', folder, 8)


def test_one_class(tmp_path):
    folder = make_class_folders(tmp_path)
    for split in ('train', 'test'):
        shutil.rmtree(folder / split / 'class 0')
    with pytest.raises(ValueError, match='two classes or more; train has 1, test 1'):
        open_labelled('mine', folder, 8)


def test_names_of_class_folders_must_agree(tmp_path):
    """Also in case, and in spaces at their ends, which are shown."""
    folder = make_class_folders(tmp_path, ('train', 'test'))
    for old, new in (('class 0', 'class 0 '), ('class 5', 'Class 5')):
        (folder / 'test' / old).rename(folder / 'test' / new)
    with pytest.raises(ValueError, match="missing in train: Class 5, 'class 0 '"):
        open_labelled('mine', folder, 8)


def test_a_folder_without_class_folders(tmp_path):
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(ValueError, match='should contain <class>/<image>, or train/<class>'):
        open_labelled('mine', tmp_path, 8)
