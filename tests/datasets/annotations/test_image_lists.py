"""Labelled images from folders and from lists."""
import pytest

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets.annotations import files_below
from vicmae_mm.datasets.annotations.image_lists import scan_classes
from vicmae_mm.datasets.annotations.video_lists import find_labelled


@pytest.mark.parametrize('line, message', [
    ('a.jpg', "no label of '.*/a.jpg': .*`path label`"), ('a.jpg -1', "no label of '.*/a.jpg'"),
    ('a.jpg x', r"line 3: 'x' follows the path")])
def test_lines_without_a_label(tmp_path, line, message):
    (tmp_path / 'list.txt').write_text(f'b c.jpg 0\n\n{line}\n')
    (tmp_path / 'b c.jpg').touch()
    with pytest.raises(ValueError, match=rf'list\.txt.*{message}'):
        find_labelled(str(tmp_path / 'list.txt'), str(tmp_path), '')


def test_folders_and_their_list_agree(tmp_path):
    images = scan_classes(str(write_photos(tmp_path / 'photos')))
    assert images[:3] == [('class_0/0.png', 0), ('class_0/1.png', 0), ('class_1/0.png', 1)]
    (tmp_path / 'list.txt').write_text(''.join(f'{path} {label}\n' for path, label in images))
    found = find_labelled(str(tmp_path / 'list.txt'), str(tmp_path / 'photos'), '')
    assert [*found] == [(f'{tmp_path}/photos/{path}', label) for path, label in images]
    (tmp_path / 'photos').rename(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='None of the 6 images listed in'):
        find_labelled(str(tmp_path / 'list.txt'), str(tmp_path / 'photos'), '')


def test_a_link_to_a_parent_folder_adds_no_images(tmp_path):
    photos = write_photos(tmp_path / 'photos')
    images = scan_classes(str(photos))
    (photos / 'class_0' / 'loop').symlink_to(photos / 'class_0', target_is_directory=True)
    assert scan_classes(str(photos)) == images


def test_what_class_folders_contain_besides_images_is_counted_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(files_below, '_log_once', lambda text, *level: said.append(text))
    photos = write_photos(tmp_path / 'photos')
    for name in ('class_0/a.heic', 'class_1/b.heic', 'class_1/c.gif'):
        (photos / name).touch()
    (photos / 'class_9').symlink_to(photos / 'class_1')
    images = scan_classes(str(photos))
    assert [path for path, label in images if label == 3] == ['class_9/0.png', 'class_9/1.png']
    assert said == [f'{photos}: 8 images; ignored 2 .gif, 3 .heic']
