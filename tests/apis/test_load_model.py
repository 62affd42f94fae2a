"""Loading a checkpoint: the right weights, and a clear refusal of anything else."""
import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from tests.helpers.models import tiny_config, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, tiny_runner
from vicmae_mm.apis import load_model
from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY


def dump_config(folder: Path, name: str = 'tiny.py', **overrides) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Config(dict(model=tiny_config(**overrides), default_scope='mmpretrain')).dump(folder / name)
    return folder / name


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A run's checkpoint, its config dumped next to it."""
    dump_config(tmp_path)
    torch.save(dict(state_dict=tiny_vicmae().state_dict()), tmp_path / 'epoch_1.pth')
    return tmp_path / 'epoch_1.pth'


def save(path: Path, weights: dict) -> Path:
    torch.save(dict(state_dict=weights), path)
    return path


def test_weights_are_the_checkpoints(checkpoint):
    model = load_model(checkpoint)
    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())
    assert not model.training


def test_checkpoint_of_a_real_run(tmp_path):
    runner = tiny_runner(
        tmp_path, [], epochs=1, default_hooks=dict(checkpoint=dict(type='CheckpointHook')))
    runner.train()
    dump_config(tmp_path)
    model = load_model(tmp_path / 'epoch_1.pth')
    trained = runner.model.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())


def test_normalisation_of_the_config(tmp_path, checkpoint):
    Config(dict(model=tiny_config(), data_preprocessor=PREPROCESSOR)).dump(tmp_path / 'tiny.py')
    mean = load_model(checkpoint).data_preprocessor.mean
    assert mean.flatten().tolist() == pytest.approx(PREPROCESSOR['mean'])


def test_pictures_of_a_bgr_network_are_refused(tmp_path, checkpoint):
    loader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile')]))
    cfg = Config(dict(model=tiny_config(), data_preprocessor=PREPROCESSOR, train_dataloader=loader))
    cfg.dump(tmp_path / 'tiny.py')
    with pytest.raises(ValueError, match=r'tiny\.py trains on BGR images'):
        load_model(checkpoint)


def test_config_named_by_hand(tmp_path, checkpoint):
    config = dump_config(tmp_path / 'elsewhere')
    (tmp_path / 'tiny.py').unlink()
    with pytest.raises(FileNotFoundError, match='looks like a ViC-MAE of this package'):
        load_model(checkpoint)
    assert load_model(checkpoint, config).with_neck


def test_config_in_the_checkpoint_is_not_executed(tmp_path, checkpoint):
    (tmp_path / 'tiny.py').unlink()
    evil = f'import pathlib\npathlib.Path({str(tmp_path / "pwned")!r}).touch()\nmodel = dict()\n'
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | dict(meta=dict(cfg=evil, config=evil)), checkpoint)
    with pytest.raises(FileNotFoundError, match='never executed'):
        load_model(checkpoint)
    assert not (tmp_path / 'pwned').exists()


class Touch:
    """An object that, unpickled, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path), )


@pytest.mark.skipif(not CAN_LOAD_SAFELY, reason='torch < 2.6 cannot refuse')
def test_code_in_the_checkpoint_is_refused(tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | dict(meta=Touch(tmp_path / 'pwned')), checkpoint)
    with pytest.raises(pickle.UnpicklingError):
        load_model(checkpoint)
    assert not (tmp_path / 'pwned').exists()


def test_missing_files(tmp_path, checkpoint):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*epoch_9\.pth'):
        load_model(tmp_path / 'epoch_9.pth')
    with pytest.raises(FileNotFoundError, match=r'no config .*other\.py'):
        load_model(checkpoint, tmp_path / 'other.py')


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 half a zip'])
def test_no_checkpoint_at_all(tmp_path, checkpoint, content):
    checkpoint.write_bytes(content)
    with pytest.raises(ValueError, match=r'epoch_1\.pth is not a checkpoint, or is damaged'):
        load_model(checkpoint)


def test_truncated_checkpoint(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r'epoch_1\.pth is not a checkpoint, or is damaged'):
        load_model(checkpoint)


@pytest.mark.parametrize('content, what', [
    (dict(state_dict={}, epoch=3), 'has epoch'),
    (dict(ema_state_dict=dict(w=torch.zeros(1)), meta={}), 'has ema_state_dict, meta'),
    ({}, 'has nothing in it'), ([1, 2], 'is of type list')])
def test_no_weights(checkpoint, content, what):
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=rf'epoch_1\.pth contains no weights .*: it {what}\.$'):
        load_model(checkpoint)


def test_another_width_is_refused_with_both_shapes(checkpoint):
    wide = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=64)
    model = tiny_vicmae(backbone=dict(arch=wide), decoder=dict(embed_dim=48),
                        projector=dict(in_channels=48))
    save(checkpoint, model.state_dict())
    with pytest.raises(ValueError, match=r'cls_token has shape \(1, 1, 48\) in the file and '
                                         r'\(1, 1, 32\) in the model') as error:
        load_model(checkpoint)
    total = len(model.state_dict())
    assert f'of its {total} parameters match' in str(error.value)


def test_deeper_network_is_refused(checkpoint):
    deep = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
    save(checkpoint, tiny_vicmae(backbone=dict(arch=deep)).state_dict())
    with pytest.raises(ValueError, match=r'are not in the model, such as backbone\.layers\.2'):
        load_model(checkpoint)


def test_weights_without_decoder_are_refused(checkpoint):
    weights = {key: value for key, value in tiny_vicmae().state_dict().items()
               if key.startswith('backbone.')}
    save(checkpoint, weights)
    with pytest.raises(ValueError, match=r'missing, such as neck\.mask_token.*'
                                         'looks like a Vision Transformer of mmpretrain'):
        load_model(checkpoint)


def test_weights_of_a_diverged_run_are_refused(checkpoint):
    content = torch.load(checkpoint)
    content['state_dict']['neck.mask_token'].fill_(float('nan'))
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=r'epoch_1\.pth: neck\.mask_token is not finite'):
        load_model(checkpoint)


def test_resnet_is_refused(checkpoint):
    torch.save({'conv1.weight': torch.zeros(1), 'layer1.0.conv1.weight': torch.zeros(1)},
               checkpoint)
    with pytest.raises(ValueError, match=r': 0 of its \d+ parameters match.*looks like a ResNet'):
        load_model(checkpoint)


@pytest.mark.parametrize('text, message', [
    ('data = 1', "has no 'model'"),
    ("default_scope = 'mmpretrain'\nmodel = dict(type='MAEPretrainHead', "
     "loss=dict(type='PixelReconstructionLoss', criterion='L2'))", 'is a MAEPretrainHead'),
])
def test_wrong_config(tmp_path, checkpoint, text, message):
    config = tmp_path / 'wrong.py'
    config.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_model(checkpoint, config)


def test_device(checkpoint):
    model = load_model(checkpoint, device='meta')
    assert {parameter.device.type for parameter in model.parameters()} == {'meta'}
    assert isinstance(model, nn.Module)
