"""Lists and folders give the same as mmpretrain's dataset; errors say what is wrong."""
import pytest
from mmpretrain.datasets import CustomDataset

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets.annotations import image_lists
from vicmae_mm.datasets.labelled_images import LabelledImages


@pytest.fixture
def photos(tmp_path):
    root = write_photos(tmp_path / 'photos')
    (root / 'list.txt').write_text('class_2/1.png 2\nclass_0/0.png 0\n')
    return root


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


@pytest.mark.parametrize('ann_file, count', [('', 6), ('list.txt', 2)])
def test_equal_to_mmpretrains(photos, ann_file, count, monkeypatch):
    monkeypatch.chdir(photos.parent)
    for root in (str(photos), 'photos'):  # the configs have relative paths
        ours = infos(LabelledImages(data_root=root, ann_file=ann_file))
        assert ours == infos(CustomDataset(data_root=root, ann_file=ann_file))
        assert len(ours) == count


@pytest.mark.parametrize('settings, words', [
    (dict(data_prefix='train'), 'train does not exist: set data_root and data_prefix of the data'),
    (dict(ann_file='none.txt'), "none.txt' does not exist. Set ann_file to a text list"),
    (dict(data_prefix='train', ann_file='list.txt'), 'None of the 2 images listed in .*list.txt')])
def test_missing_files_and_folders(photos, settings, words):
    with pytest.raises(FileNotFoundError, match=words):
        LabelledImages(data_root=str(photos), **settings)


def test_a_list_without_labels(photos):
    (photos / 'list.txt').write_text('class_2/1.png\n')
    message = r'list\.txt has no label of .*class_2/1\.png.: .*`path label`'
    with pytest.raises(ValueError, match=message):
        LabelledImages(data_root=str(photos), ann_file='list.txt')


def test_hidden_folders_are_no_classes_and_are_named(photos, monkeypatch):
    said = []
    monkeypatch.setattr(image_lists, 'print_log', lambda text, *level: said.append(text))
    (photos / '.ipynb_checkpoints').mkdir()
    (photos / '.ipynb_checkpoints/0.png').touch()
    dataset = LabelledImages(data_root=str(photos))
    assert dataset.metainfo['classes'] == ('class_0', 'class_1', 'class_2')
    assert [info['gt_label'] for info in infos(dataset)] == [0, 0, 1, 1, 2, 2]
    assert said == [f'{photos}: hidden folders are not classes: .ipynb_checkpoints']


@pytest.mark.parametrize('suffix', ['.webp', '.TIFF', '.heic', ''])
def test_a_class_of_another_format(photos, suffix):
    for path in (photos / 'class_1').iterdir():
        path.rename(path.with_suffix(suffix)) if suffix else path.unlink()
    if suffix in ('.webp', '.TIFF'):
        assert len(LabelledImages(data_root=str(photos))) == 6
    else:
        with pytest.raises(ValueError, match=(
                rf'class_1 contains no images .* Found: {suffix or "nothing"}\. Remove the')):
            LabelledImages(data_root=str(photos))


@pytest.mark.parametrize('classes, labels', [
    (['class_2', 'class_0', 'class_1'], [1, 1, 2, 2, 0, 0]),  # their order
    (['x', 'class_0', 'class_1', 'class_2'], [1, 1, 2, 2, 3, 3]),  # one is missing here
    (['cat', 'dog', 'fish'], [0, 0, 1, 1, 2, 2]),  # other names in the order of the folders
    (['class_0', 'class_1'], "lacks 'class_2'"), (['cat', 'dog'], "lacks 'class_0', 'class_1'"),
    (['class_0', 'class_1', 'Class_2'], "lacks 'class_2'")])
def test_names_for_the_folders(photos, classes, labels):
    if isinstance(labels, str):
        with pytest.raises(ValueError, match=f'but classes of the dataset {labels}'):
            LabelledImages(data_root=str(photos), classes=classes)
        return
    dataset = LabelledImages(data_root=str(photos), classes=classes)
    assert dataset.metainfo['classes'] == tuple(classes)
    assert [info['gt_label'] for info in infos(dataset)] == labels
