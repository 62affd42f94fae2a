"""Fine-tuning groups the parameters of ViT-B as MAE does, each of all 152."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from vicmae_mm.engine.optimizers import BF16OptimWrapper

NUM_BLOCKS = 12


def mae_layer(name: str) -> int:
    """MAE's rule: tokens and patch embedding 0, blocks 1 to 12, what follows 13."""
    if name.startswith(('backbone.cls_token', 'backbone.pos_embed', 'backbone.patch_embed')):
        return 0
    if name.startswith('backbone.layers.'):
        return int(name.split('.')[2]) + 1
    return NUM_BLOCKS + 1


def mae_decay(name: str, parameter: nn.Parameter) -> float:
    """MAE's rule: 0.05, but nothing on vectors and on the two tokens."""
    if parameter.ndim == 1 or name in ('backbone.cls_token', 'backbone.pos_embed'):
        return 0.
    return 0.05


@pytest.mark.parametrize('config, decay, lr', [
    ('finetune_vit-b16', 0.75, 4e-3),
    ('finetune_vit-b16_avg', 0.75, 4e-3),
    ('finetune_vit-b16_mae', 0.65, 2e-3),
    ('semi_010pct_vit-b16', 0.75, 4e-3),
])
def test_all_152_parameters(repo: Path, config: str, decay: float, lr: float):
    cfg = Config.fromfile(repo / f'configs/transfer/imagenet/{config}.py')
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert isinstance(wrapper, BF16OptimWrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert len(names) == 152
    checked = set()
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            name = names[id(parameter)]
            scale = decay**(NUM_BLOCKS + 1 - mae_layer(name))
            # the same products in another order: a few units of float64's last place
            assert group['lr'] == pytest.approx(lr * scale, rel=1e-12), name
            assert group['weight_decay'] == mae_decay(name, parameter), name
            checked.add(name)
    assert checked == set(names.values())
