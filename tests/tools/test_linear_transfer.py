"""The command on all twelve datasets, on some, and on class folders."""
import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.transfer_datasets import make_all, make_class_folders, make_dtd, pixels, save
from vicmae_mm.commands.transfer.tasks import PAPER, TASKS
from vicmae_mm.evaluation import protocol

from .transfer import any_checksum, checkpoint, tool  # noqa: F401  (fixtures)

TOOL = 'linear_transfer.py'


@pytest.fixture
def short_grid(monkeypatch) -> None:
    """Three penalties instead of 45, where many datasets are fitted."""
    monkeypatch.setattr(protocol, 'PENALTIES', [100., 1., 0.01])


def results(out: str = 'work_dirs/transfer/run_epoch_1/linear_cls.json') -> dict:
    content = json.loads(Path(out).read_text())
    return dict(content, scores={entry['dataset']: entry['score'] for entry in content['results']})


def test_all_twelve(
        tool, checkpoint, any_checksum, short_grid, tmp_path, capsys):  # noqa: F811
    make_all(tmp_path / 'data')
    tool(TOOL, checkpoint, '--datasets', 'all', '--data-root', 'data')
    printed = capsys.readouterr()
    # the two classes are distinguished; VOC's other 18 have no images and count 0
    assert results()['scores'] == pytest.approx({task.name: 100 for task in TASKS} |
                                                {'VOC2007': 10})
    assert results()['not_measured'] == {}
    assert Path('work_dirs/transfer/run_epoch_1/linear_cls.md').read_text() in printed.out
    rows = [line.split(' | ') for line in printed.out.splitlines() if line.startswith('| Food')]
    assert rows[0][3:7] == [f'{row["Food"]:.2f}' for row in PAPER.values()]
    assert '8 of 75,750 images to train and 6 of 25,250 images to test' in rows[0][7]
    voc = next(line for line in printed.out.splitlines() if line.startswith('| VOC2007'))
    assert '11-point mAP' in voc and '12 of 5,011 images to train' in voc

    tool(TOOL, checkpoint, '--datasets', 'all', '--data-root', 'data')
    assert capsys.readouterr().err.count('as measured before') == 12


def test_missing_and_broken_ones_do_not_stop_the_others(
        tool, checkpoint, any_checksum, short_grid, tmp_path):  # noqa: F811
    data = tmp_path / 'data'
    make_all(data)
    shutil.rmtree(data / 'dtd')
    (data / 'Flowers102/setid.mat').write_bytes(b'no such thing')
    image = next((data / 'Oxford-IIIT_Pets/images').iterdir())
    image.write_bytes(image.read_bytes()[:200])
    next((data / 'caltech-101/101_ObjectCategories/class_0').iterdir()).unlink()
    (data / 'cifar10/cifar-10-batches-py/test_batch').unlink()
    broken = {'CIFAR10', 'DTD', 'Pets', 'Caltech101', 'Flowers'}
    names = ['--datasets', 'Food', *broken, 'Aircraft']
    with pytest.raises(SystemExit, match='error: 5 of 7 datasets not measured: '
                       'CIFAR10, DTD, Pets, Caltech101, Flowers'):
        tool(TOOL, checkpoint, *names)
    assert set(results()['scores']) == {'Food', 'Aircraft'}
    why = results()['not_measured']
    assert why['DTD'] == (
        'missing: there is no folder data/dtd. Get it from '
        'https://www.robots.ox.ac.uk/~vgg/data/dtd/. Expected in data/dtd: '
        'images/<class>/<class>_<number>.jpg; imdb/imdb.mat.')
    assert 'setid' in why['Flowers'] or 'cannot be read' in why['Flowers']
    assert str(image.relative_to(tmp_path)) in why['Pets']
    assert 'No such file' in why['Caltech101']
    assert all('\n' not in reason for reason in why.values())

    make_dtd(data)
    with pytest.raises(SystemExit, match='4 of 7'):
        tool(TOOL, checkpoint, *names)
    assert results()['scores']['DTD'] == 100


@pytest.mark.parametrize('splits', [('train', 'test'), ('train', 'val', 'test')])
def test_class_folders(tool, checkpoint, tmp_path, capsys, splits):  # noqa: F811
    folder = make_class_folders(tmp_path / 'mine', splits)
    tool(TOOL, checkpoint, '--folder', f'mine={folder}', '--level', 'avg', '--out', 'out')
    assert results('out/linear_avg.json')['scores'] == {'mine': 100}
    # a changed file is encoded and scored again: now two thirds of class 5 look like class 0
    for path in sorted((folder / 'test/class 5').iterdir())[:2]:
        save(path, 0, 99)
    tool(TOOL, checkpoint, '--folder', f'mine={folder}', '--level', 'avg', '--out', 'out')
    assert results('out/linear_avg.json')['scores']['mine'] == pytest.approx(100 * 4 / 6)


def test_workers_say_what_is_broken_in_one_line(
        tool, checkpoint, tmp_path):  # noqa: F811
    folder = make_class_folders(tmp_path / 'mine')
    (folder / 'train/class 0/1.png').write_bytes(b'')
    (tmp_path / 'list.txt').write_text('a.png\n')
    with pytest.raises(SystemExit, match='2 of 2 datasets not measured: list, mine'):
        tool(TOOL, checkpoint, '--folder', 'list=list.txt', '--folder', f'mine={folder}',
             '--out', 'out', '--workers', 1)
    assert 'listed in list.txt exists' in results('out/linear_cls.json')['not_measured']['list']
    assert results('out/linear_cls.json')['not_measured']['mine'].startswith(
        f'image {folder}/train/class 0/1.png cannot be read: ')


def test_other_names_for_errors(tool, checkpoint, tmp_path, capsys):  # noqa: F811
    with pytest.raises(SystemExit, match='There is no dataset Foo: choose "all" or any of Food'):
        tool(TOOL, checkpoint, '--datasets', 'Foo', 'food')
    with pytest.raises(SystemExit, match=r'There is no checkpoint none\.pth'):
        tool(TOOL, 'none.pth')
    with pytest.raises(SystemExit):
        tool(TOOL, checkpoint, '--folder', 'mine')
    assert "'mine' should be NAME=PATH" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool(TOOL, checkpoint, '--folder', f'mine={tmp_path}', '--out', 'out')
    assert 'train has 0, test 0.' in results('out/linear_cls.json')['not_measured']['mine']


@pytest.mark.parametrize('args, message', [
    (['--folder', 'food=x'], '--folder food=x: the name food is already used by a dataset of '),
    (['--folder', 'a=x', '--folder', 'a=y'], '--folder a=y: the name a is already used by'),
    (['--folder', 'a=x', '--out', 'file'], 'file: File exists'),
])
def test_wrong_options(tool, checkpoint, tmp_path, args, message):  # noqa: F811
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=f'error: {message}'):
        tool(TOOL, checkpoint, *args)
    assert not (tmp_path / 'work_dirs/transfer/features').exists()


def test_device_that_is_not_there(tool, checkpoint, capsys):  # noqa: F811
    with pytest.raises(SystemExit):
        tool(TOOL, checkpoint, '--device', 'nonsense')
    assert "'nonsense' cannot be used" in capsys.readouterr().err


def test_helper_draws_two_classes():
    assert pixels(0, 1).mean() < 60 < 190 < pixels(5, 1).mean()
