"""The command on the features that linear_transfer.py has kept."""
import csv
import json
import os
from pathlib import Path

import pytest

from tests.helpers.transfer_datasets import make_class_folders, make_voc, save
from vicmae_mm.commands.transfer import cached_features

from .transfer import checkpoint, tool  # noqa: F401  (fixtures)


def scores(file: str) -> dict[str, float]:
    content = json.loads(Path('out', file).read_text())
    return {entry['dataset']: entry['score'] for entry in content['results']}


def test_features_are_shared_with_the_linear_tool(
        tool, checkpoint, tmp_path, monkeypatch):  # noqa: F811
    folder = make_class_folders(tmp_path / 'mine')
    args = (checkpoint, '--folder', f'mine={folder}', '--out', 'out')
    tool('linear_transfer.py', *args)

    def refuse(*_):
        raise RuntimeError('encoded again')

    monkeypatch.setattr(cached_features, 'encode', refuse)
    tool('knn.py', *args, '--k', 3)
    assert scores('knn3_cls.json') == {'mine': 100}
    with pytest.raises(RuntimeError, match='encoded again'):
        tool('knn.py', *args, '--level', 'avg')


def test_several_labels_per_image(tool, checkpoint, tmp_path):  # noqa: F811
    make_voc(tmp_path / 'data')
    tool('knn.py', checkpoint, '--datasets', 'VOC2007', '--out', 'out', '--k', 3)
    # two classes, found by all their neighbours, and 18 without images
    assert scores('knn3_cls.json')['VOC2007'] == pytest.approx(10)


@pytest.mark.parametrize('name', ['knn.py', 'linear_transfer.py'])
def test_one_own_folder(tool, checkpoint, tmp_path, capsys, name):  # noqa: F811
    """No columns of the paper's; what is right by class, and a prediction for every test image."""
    folder = make_class_folders(tmp_path / 'mine')
    strange = os.fsdecode(b'class \xff, "5"\n')
    for split in ('train', 'test'):
        (folder / split / 'class 5').rename(folder / split / strange)
    save(folder / 'test' / strange / 'x.png', 0, 99)  # looks like the other class
    args = (name, checkpoint, '--folder', f'mine={folder}', '--out', 'out')
    tool(*args)
    printed = capsys.readouterr()
    header = next(line for line in printed.out.splitlines() if line.startswith('| dataset'))
    assert header == '| dataset | metric | this checkpoint | details |'
    path, = Path('out').glob('*_mine.csv')
    assert f'3 of 4, class 0 3 of 3. Predictions: {path}\n' in printed.err
    with open(path, encoding='utf-8', errors='surrogateescape', newline='') as file:
        lines = {line['file']: line for line in csv.DictReader(file)}
    assert set(lines) == {str(file) for file in folder.glob('test/*/*')}
    wrong = lines[str(folder / 'test' / strange / 'x.png')]
    assert (wrong['label'], wrong['prediction']) == (strange, 'class 0')
    assert 0.5 < float(wrong['score']) <= 1

    tool(*args)
    assert 'as measured before' in capsys.readouterr().err
    path.unlink()
    tool(*args)
    assert path.exists()
