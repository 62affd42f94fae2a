"""The lists as mmpretrain reads them, and what is on disk besides the images."""
import os
from pathlib import Path

import pytest
from mmengine.config import Config

CLASSES = {'n01': 4, 'n02': 7, 'n10': 10}  # images of each


@pytest.fixture
def root(tmp_path) -> Path:
    """ImageNet's layout; a name has a space, as none of its own but many others have."""
    for name, count in CLASSES.items():
        (tmp_path / 'imagenet/train' / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / 'imagenet/train' / name / f'{name}_{i} x.JPEG').touch()
    return tmp_path / 'imagenet'


def list_of(root: Path, percentage: int) -> bytes:
    return (root / f'subsets/train_{percentage:03d}pct.txt').read_bytes()


def samples(root: Path, **kwargs) -> set[tuple[str, int]]:
    from mmpretrain.datasets import ImageNet
    dataset = ImageNet(data_root=str(root), data_prefix='train', metainfo=dict(classes=None),
                       **kwargs)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert all(os.path.isfile(info['img_path']) for info in infos)
    return {(info['img_path'], info['gt_label']) for info in infos}


def test_mmpretrain_reads_the_lists_as_it_reads_the_folders(tool, root):
    assert tool('make_imagenet_subset', root, '--percentages', 50, 100) == 0
    everything = samples(root)
    assert len(everything) == 21
    assert samples(root, ann_file='subsets/train_100pct.txt') == everything
    half = samples(root, ann_file='subsets/train_050pct.txt')
    assert half < everything and len(half) == 2 + 3 + 5


def test_the_lists_are_those_the_configs_read(tool, root, repo, capsys):
    assert tool('make_imagenet_subset', root) == 0
    assert ' 50 %: 10 images, 2 to 5 per class' in capsys.readouterr().out
    wanted = {Config.fromfile(path).train_dataloader.dataset.ann_file
              for path in (repo / 'configs/transfer/imagenet').glob('semi_*.py')} - {''}
    assert len(wanted) == 6
    assert {str(path.relative_to(root)) for path in root.glob('subsets/*')} == wanted


def test_the_order_of_the_file_system_does_not_matter(tool, root, monkeypatch):
    assert tool('make_imagenet_subset', root) == 0
    before = list_of(root, 25)
    walk, scandir = os.walk, os.scandir
    monkeypatch.setattr(os, 'walk', lambda *args, **kwargs: (
        (place, folders, files[::-1]) for place, folders, files in walk(*args, **kwargs)))
    monkeypatch.setattr(os, 'scandir', lambda path: _Reversed(list(scandir(path))[::-1]))
    assert tool('make_imagenet_subset', root) == 0
    assert list_of(root, 25) == before
    assert tool('make_imagenet_subset', root, '--seed', 1) == 0
    assert list_of(root, 25) != before


class _Reversed(list):
    """A directory read backwards; os.walk wants a context with ``__next__``."""

    def __enter__(self) -> '_Reversed':
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def __next__(self) -> os.DirEntry:
        if not self:
            raise StopIteration
        return self.pop(0)


def test_a_list_with_the_same_paths_gives_the_same_lists(tool, root):
    assert tool('make_imagenet_subset', root, '--percentages', 25, 100) == 0
    drawn = list_of(root, 25)
    lines = list_of(root, 100).decode().splitlines()
    (root / 'train.txt').write_text('\n'.join(lines[::-1]) + '\n')
    assert tool('make_imagenet_subset', root, '--ann-file', root / 'train.txt') == 0
    assert list_of(root, 25) == drawn


def test_hidden_files_and_folders_are_no_classes_or_images(tool, root, capsys):
    assert tool('make_imagenet_subset', root, '--percentages', 100) == 0
    before = list_of(root, 100)
    (root / 'train/.ipynb_checkpoints').mkdir()
    (root / 'train/.ipynb_checkpoints/n01_0-checkpoint.JPEG').touch()
    (root / 'train/n02/._n02_0.JPEG').touch()  # macOS leaves such
    (root / 'train/n02/.cache').mkdir()
    (root / 'train/n02/.cache/n02_0.JPEG').touch()
    assert tool('make_imagenet_subset', root, '--percentages', 100) == 0
    assert list_of(root, 100) == before
    assert '21 images of 3 classes' in capsys.readouterr().out


@pytest.mark.parametrize('percentage', ['0', '101', '1.5'])
def test_shares_out_of_range(tool, root, capsys, percentage):
    assert tool('make_imagenet_subset', root, '--percentages', '5', percentage) == 2
    assert f'must be 1 to 100, not {percentage!r}' in capsys.readouterr().err


def test_another_number_of_classes_than_imagenets_is_said(tool, root, capsys):
    assert tool('make_imagenet_subset', root) == 0
    assert 'not those of ImageNet-1K, which has 1,000 classes' in capsys.readouterr().out
    (root / 'train.txt').write_text(''.join(f'{i}/a.JPEG {i}\n' for i in range(1000)))
    assert tool('make_imagenet_subset', root, '--ann-file', root / 'train.txt') == 1
    assert 'None of the 1,000 images' in capsys.readouterr().err
    (root / 'train/0').mkdir()
    (root / 'train/0/a.JPEG').touch()
    assert tool('make_imagenet_subset', root, '--ann-file', root / 'train.txt') == 0
    assert 'WARNING' not in capsys.readouterr().out


def test_a_list_is_replaced_as_a_whole(tool, root, monkeypatch):
    assert tool('make_imagenet_subset', root) == 0
    before = list_of(root, 75)

    def fail(*args: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', fail)
    assert tool('make_imagenet_subset', root, '--seed', 1) == 1
    assert list_of(root, 75) == before


@pytest.mark.parametrize('prepare, message', [
    (lambda root: None, 'No such file or directory'),
    (lambda root: (root / 'train').mkdir(), 'contains no class folders'),
    (lambda root: (root / 'train/empty').mkdir(parents=True), 'empty contains no images'),
])
def test_errors_say_what_is_wrong(tool, tmp_path, capsys, prepare, message):
    prepare(tmp_path)
    assert tool('make_imagenet_subset', tmp_path) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ') and message in last
    assert not (tmp_path / 'subsets').exists()
