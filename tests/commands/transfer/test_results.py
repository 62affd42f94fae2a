"""The table, and the predictions next to it."""
import csv
import json
import os

import pytest
import torch

from vicmae_mm.commands.transfer.results import (
    Result,
    as_markdown,
    read_results,
    write_predictions,
    write_results,
)
from vicmae_mm.commands.transfer.tasks import PAPER
from vicmae_mm.evaluation.images import Images

SHARES = torch.tensor([[.9, .1, 0], [.2, .7, .1], [.4, .35, .25], [0, .1, .9]])
TARGETS = torch.tensor([0, 1, 2, 2])


def images(names, classes=('cat', 'dog', 'eel')):
    return Images([dict(img_path=name) for name in names], TARGETS, 8, classes)


def read(path):
    with open(path, encoding='utf-8', errors='surrogateescape', newline='') as file:
        return list(csv.DictReader(file))


def row(name, by_class=None):
    return Result(name, 'top-1', 50., 'key', 'k = 20', by_class or {})


def test_predictions_and_worst_classes_first(tmp_path):
    by_class = write_predictions(tmp_path / 'p.csv', images(['a', 'b', 'c', 'd']), SHARES)
    assert list(by_class.items()) == [('eel', [1, 2]), ('cat', [1, 1]), ('dog', [1, 1])]
    assert read(tmp_path / 'p.csv')[2] == dict(
        file='c', label='eel', prediction='cat', score='0.4000')
    assert [line['prediction'] for line in read(tmp_path / 'p.csv')] == ['cat', 'dog', 'cat', 'eel']


@pytest.mark.parametrize('name', [
    'a, b.jpg', 'a "b".jpg', 'a\nb.jpg', 'a\r\nb.jpg', ' a ', '=a;b\t.jpg', 'ü.jpg',
    os.fsdecode(b'\xff.jpg')])
def test_names_are_read_back(tmp_path, name):
    write_predictions(tmp_path / 'p.csv', images([name] * 4, (name, 'dog', 'eel')), SHARES)
    lines = read(tmp_path / 'p.csv')
    assert {line['file'] for line in lines} == {name} and lines[0]['label'] == name


def test_images_without_files_and_classes_without_names(tmp_path):
    arrays = Images([dict(img=None)] * 4, TARGETS, 8)
    assert write_predictions(tmp_path / 'p.csv', arrays, SHARES)['2'] == [1, 2]
    assert [line['file'] for line in read(tmp_path / 'p.csv')] == ['0', '1', '2', '3']


def test_the_papers_columns_only_next_to_its_datasets():
    own = as_markdown('title', [row('mine'), row('other')], {}).splitlines()
    assert own[2] == '| dataset | metric | this checkpoint | details |'
    assert own[4] == '| mine | top-1 | 50.00 | k = 20 |'
    both = as_markdown('title', [row('mine'), row('Food')], {}).splitlines()
    assert all(name in both[2] for name in PAPER) and '76.23' in both[5]
    assert len({line.count('|') for line in both[2:6]}) == 1


def test_results_are_read_back_and_older_files_are_measured_again(tmp_path):
    path = tmp_path / 'r.json'
    result = row('mine', {os.fsdecode(b'\xff'): [1, 2]})
    write_results(path, 'title', dict(checkpoint_key='key'), [result], {})
    assert read_results(path, 'key') == dict(mine=result)
    content = json.loads(path.read_text())
    del content['results'][0]['by_class']
    path.write_text(json.dumps(content))
    assert read_results(path, 'key') == {}
