"""Pre-training from public weights: learning rates, and that it needs a checkpoint."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from tests.conftest import REPO
from tests.helpers.models import shrink
from tests.helpers.videos import make_video
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

CONFIGS = sorted(path.stem for path in (REPO / 'configs/adapt').glob('*.py'))
STEM = r'(cls_token|register_tokens|pre_norm|patch_embed)\b'


def load(name: str) -> Config:
    return Config.fromfile(REPO / f'configs/adapt/{name}.py')


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    for index in range(4):
        make_video(folder / f'{index}.mp4', num_frames=12)
    return folder


def layers_above(name: str, num_layers: int) -> int:
    """How many times the rate of decay is applied to a parameter."""
    if re.match(rf'backbone\.{STEM}', name):
        return num_layers + 1
    layer = re.match(r'backbone\.layers\.(\d+)\.', name)
    return num_layers - int(layer[1]) if layer else 0  # last norm, decoder and projector: new


@pytest.mark.parametrize('name', CONFIGS)
def test_every_parameter_has_the_learning_rate_of_its_depth(name):
    cfg = load(name)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = {names[parameter]: group for group in wrapper.optimizer.param_groups
              for parameter in group['params']}
    assert groups.keys() == {key for key, each in model.named_parameters() if each.requires_grad}
    num_layers, rate = len(model.backbone.layers), cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    for key, group in groups.items():
        scale = rate**layers_above(key, num_layers)
        # the same products in another order
        assert group['lr'] == pytest.approx(cfg.optim_wrapper.optimizer.lr * scale, rel=1e-12), key
        vector = re.search(r'bias$|\.(ln|bn|gamma)\d|pre_norm', key)
        assert group['weight_decay'] == (0 if vector else 0.05), key
    assert {key.partition('.')[0] for key in groups} == {'backbone', 'neck', 'projector'}
    assert 0.02 < min(group['lr_scale'] for group in groups.values()) < 0.03


@pytest.mark.parametrize('name', CONFIGS)
def test_contrast_from_the_start_and_a_short_warm_up(name):
    cfg = load(name)
    assert cfg.default_hooks.contrast_weight.schedule == 'constant'
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.end, cosine.end, cfg.train_cfg.max_epochs) == (5, 100, 100)
    scratch = Config.fromfile(REPO / 'configs/vicmae_vit-b16_k400.py')
    assert cfg.optim_wrapper.optimizer.lr / cfg.auto_scale_lr.base_batch_size == pytest.approx(
        scratch.optim_wrapper.optimizer.lr / scratch.auto_scale_lr.base_batch_size)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_step_from_the_weights_of_an_encoder(name, videos, tmp_path):
    cfg = shrink(load(name), videos, tmp_path)
    cfg.experiment_name = name
    encoder = MODELS.build(cfg.model).backbone
    cfg.load_from = str(tmp_path / 'encoder.pth')
    torch.save({f'backbone.{key}': value + 0.01 for key, value in encoder.state_dict().items()},
               cfg.load_from)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    for key, value in torch.load(cfg.load_from).items():  # the rate starts at 1e-9 of its value
        torch.testing.assert_close(runner.model.state_dict()[key], value, rtol=0, atol=1e-6)


def test_it_needs_weights_to_start_from(videos, tmp_path):
    cfg = shrink(load('mae_vit-b16'), videos, tmp_path)
    cfg.experiment_name = 'no_start'
    with pytest.raises(InputError, match=r'would start untrained.*load_from=PATH'):
        Runner.from_cfg(cfg).train()
