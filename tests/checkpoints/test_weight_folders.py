"""Folders of the Hub in place of a file."""
import json
import os

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


@pytest.mark.parametrize('kind', ['safetensors', 'bin'])
def test_weights_in_several_files(tmp_path, kind):
    write = save_file if kind == 'safetensors' else torch.save
    for key, value in STATE.items():
        write({key: value}, tmp_path / f'{key}.{kind}')
    index = tmp_path / f'model.{kind}.index.json'
    index.write_text(json.dumps(dict(weight_map={key: f'{key}.{kind}' for key in STATE})))
    for path in (tmp_path, index):
        assert_same(dict(sorted(read_weights(path).items())), dict(sorted(STATE.items())))
    (tmp_path / f'bias.{kind}').unlink()
    with pytest.raises(ValueError, match=rf'lists bias\.{kind}: all files .* in its folder'):
        read_weights(tmp_path)


@pytest.mark.parametrize('text, words', [
    (json.dumps(dict(weight_map=dict(weight='../secret.bin'))), r'lists \.\./secret\.bin'),
    (json.dumps(dict(weight_map={})), 'lists no file'), (json.dumps(dict(a=1)), 'KeyError'),
    (json.dumps(dict(weight_map=dict(weight=1))), 'TypeError'), ('{', 'JSONDecodeError')])
def test_indexes_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / 'x').mkdir()
    torch.save(STATE, tmp_path / 'secret.bin')
    (tmp_path / 'x/model.safetensors.index.json').write_text(text)
    with pytest.raises(ValueError, match=words):
        read_weights(tmp_path / 'x')


@pytest.mark.parametrize('name, words', [
    ('vit_b.pth', r'name vit_b\.pth'), ('notes.txt', 'has no weights')])
def test_other_folders(tmp_path, name, words):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f'is a folder without model.safetensors .*{words}'):
        read_weights(tmp_path)


def test_the_folder_of_a_run(tmp_path):
    run = tmp_path / 'a run'
    run.mkdir()

    def save(name: str, value: float) -> None:
        torch.save(dict(state_dict=dict(weight=torch.tensor([value]))), run / name)
        times = (value, value)  # the order does not depend on the clock
        os.utime(run / name, times)

    save('epoch_1.pth', 1.)
    save('best_x.pth', 5.)  # what it is the best at is the user's choice
    assert read_weights(run)['weight'] == 1
    save('epoch_10.pth', 10.)  # the run goes on
    assert read_weights(run)['weight'] == 10
    data = bytearray((run / 'epoch_10.pth').read_bytes())
    data[data.index(torch.tensor([10.]).numpy().tobytes())] ^= 1
    (run / 'epoch_10.pth').write_bytes(data)
    os.utime(run / 'epoch_10.pth', (11, 11))
    assert read_weights(run)['weight'] == 1
    save_file(STATE, run / 'model.safetensors')
    with pytest.raises(ValueError, match=r'checkpoints of a run and model\.safetensors: name'):
        read_weights(run)
    (run / 'model.safetensors').unlink()
    (run / 'epoch_1.pth').unlink()
    with pytest.raises(ValueError, match=r'epoch_10\.pth is damaged'):
        read_weights(run)
