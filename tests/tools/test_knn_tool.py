"""The command on the features that linear_transfer.py has kept."""
import json
from pathlib import Path

import pytest

from tests.helpers.transfer_datasets import make_class_folders, make_voc
from vicmae_mm.commands.transfer import cached_features

from .transfer import checkpoint, tool  # noqa: F401  (fixtures)


def scores(file: str) -> dict[str, float]:
    content = json.loads(Path('out', file).read_text())
    return {entry['dataset']: entry['score'] for entry in content['results']}


def test_features_are_shared_with_the_linear_tool(
        tool, checkpoint, tmp_path, monkeypatch):  # noqa: F811
    folder = make_class_folders(tmp_path / 'mine')
    args = (checkpoint, '--folder', f'mine={folder}', '--out-dir', 'out')
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
    tool('knn.py', checkpoint, '--datasets', 'VOC2007', '--out-dir', 'out', '--k', 3)
    # two classes, found by all their neighbours, and 18 without images
    assert scores('knn3_cls.json')['VOC2007'] == pytest.approx(10)


def test_too_few_neighbours(tool, checkpoint, tmp_path):  # noqa: F811
    folder = make_class_folders(tmp_path / 'mine')
    with pytest.raises(SystemExit, match='k=0 should be at least 1'):
        tool('knn.py', checkpoint, '--folder', f'mine={folder}', '--k', 0)
