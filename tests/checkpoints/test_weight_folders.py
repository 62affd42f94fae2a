"""Folders of the Hub in place of a file."""
import json

import pytest
import torch
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file

from tests.checkpoints.conversion.helpers import assert_same
from vicmae_mm.checkpoints.find_config import find_config
from vicmae_mm.checkpoints.weight_files import read_weights

STATE = {'weight': torch.arange(6.).view(2, 3), 'bias': torch.ones(2)}


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_folder_of_the_hub(tmp_path, name):
    (tmp_path / 'config.py').write_text('model = dict()')
    if name.endswith('.bin'):
        torch.save(STATE, tmp_path / name)
    else:
        save_file(STATE, tmp_path / name)
    assert_same(read_weights(tmp_path), STATE)
    assert find_config(tmp_path) == tmp_path / 'config.py'
    model = torch.nn.Linear(3, 2)
    load_checkpoint(model, str(tmp_path), strict=True)  # as load_from and init_cfg do
    assert_same(model.state_dict(), STATE)


def test_shards_are_told(tmp_path):
    save_file(STATE, tmp_path / 'model-1.safetensors')
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(json.dumps(dict(weight_map=dict(weight='../secret.bin'))))
    for path in (tmp_path, index):
        with pytest.raises(ValueError, match=r'index\.json is the index of weights in several '
                           r'files \(shards\)\. Join them'):
            read_weights(path)


@pytest.mark.parametrize('name, words', [
    ('epoch_1.pth', r'name the file, for example epoch_1\.pth'), ('notes.txt', 'has no weights')])
def test_other_folders(tmp_path, name, words):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f'is a folder without model.safetensors .*{words}'):
        read_weights(tmp_path)
