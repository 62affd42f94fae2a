"""Folders of the Hub and shards."""
import json

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.conversion.helpers import assert_same
from vicmae_mm.checkpoints.find_config import find_config
from vicmae_mm.checkpoints.weight_files import read_weights

STATE = {'a': torch.arange(3.), 'b': torch.ones(2, 2), 'c': torch.zeros(1)}


@pytest.fixture
def sharded(tmp_path):
    """A folder with an index and two shards."""
    save_file({'a': STATE['a']}, tmp_path / 'model-1.safetensors')
    save_file({'b': STATE['b'], 'c': STATE['c']}, tmp_path / 'model-2.safetensors')
    write_index(tmp_path, a='model-1.safetensors', b='model-2.safetensors', c='model-2.safetensors')
    return tmp_path


def write_index(folder, **weight_map):
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=weight_map)))


def test_shards_are_joined(sharded):
    assert_same(read_weights(sharded), STATE)
    assert_same(read_weights(sharded / 'model.safetensors.index.json'), STATE)


def test_pickled_shards(tmp_path):
    torch.save({'a': STATE['a']}, tmp_path / 'x-1.bin')
    torch.save({'b': STATE['b'], 'c': STATE['c']}, tmp_path / 'x-2.bin')
    (tmp_path / 'pytorch_model.bin.index.json').write_text(
        json.dumps(dict(weight_map=dict(a='x-1.bin', b='x-2.bin', c='x-2.bin'))))
    assert_same(read_weights(tmp_path), STATE)


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_folder_of_the_hub(tmp_path, name):
    (tmp_path / 'config.py').write_text('model = dict()')
    if name.endswith('.bin'):
        torch.save(STATE, tmp_path / name)
    else:
        save_file(STATE, tmp_path / name)
    assert_same(read_weights(tmp_path), STATE)
    assert find_config(tmp_path) == tmp_path / 'config.py'


def test_a_missing_shard_is_named(sharded):
    (sharded / 'model-2.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 shards .* such as model-2'):
        read_weights(sharded)


def test_shards_of_different_checkpoints(sharded):
    save_file({'a': STATE['b']}, sharded / 'model-2.safetensors')
    with pytest.raises(ValueError, match=r'a is in .* and in another shard'):
        read_weights(sharded)


@pytest.mark.parametrize('text', [
    '{', '[]', '{}', '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
    '{"weight_map": {"a": "../secret.bin"}}', '{"weight_map": {"a": "/secret.bin"}}'])
def test_index_cannot_lead_elsewhere(tmp_path, text):
    torch.save(STATE, tmp_path / 'secret.bin')
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'model.safetensors.index.json').write_text(text)
    with pytest.raises(ValueError, match='is not an index of sharded weights'):
        read_weights(folder)


@pytest.mark.parametrize('name, words', [
    ('epoch_1.pth', r'Name the file: epoch_1\.pth'), ('notes.txt', 'There are no weights in it'),
    ('.metadata', 'a distributed checkpoint of torch')])
def test_other_folders(tmp_path, name, words):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f'is a folder without model.safetensors .*{words}'):
        read_weights(tmp_path)
