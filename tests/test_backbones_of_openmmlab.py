"""The backbones of docs/use_the_encoder.md for mmsegmentation and mmdetection.

These need the full mmcv, which is not installed here: only what mmpretrain builds is compared.
"""
import pytest
import torch

from tests.conftest import REPO
from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH
from tests.helpers.runs import save_run
from tests.test_docs import blocks
from vicmae_mm.apis import load_backbone
from vicmae_mm.registry import MODELS

BLOCKS = [block for block in blocks((REPO / 'docs/use_the_encoder.md').read_text(), 'python')
          if "type='mmpretrain.VisionTransformer'" in block]


@torch.no_grad()
@pytest.mark.parametrize('block', BLOCKS, ids=['mmsegmentation', 'mmdetection'])
def test_they_load_the_checkpoint(tmp_path, block):
    names: dict = {}
    exec(block, names)
    cfg = names['model']['backbone']
    checkpoint = save_run(tmp_path / 'run')
    assert cfg.pop('_delete_') and cfg['init_cfg']['prefix'] == 'backbone.'
    cfg['init_cfg']['checkpoint'] = str(checkpoint)
    if 'out_indices' in cfg:
        cfg['out_indices'] = (0, 1)
    cfg.update(arch=TINY_ARCH, patch_size=PATCH, img_size=2 * IMG_SIZE)
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    backbone.eval()
    encoder = load_backbone(checkpoint)
    # Of the size of pre-training, where positions are not interpolated: once there and back.
    images = torch.randint(256, (2, 3, IMG_SIZE, IMG_SIZE)).float()
    pixels = (images - encoder.mean.view(3, 1, 1)) / encoder.std.view(3, 1, 1)
    for name, value in encoder.backbone.state_dict().items():
        assert name == 'pos_embed' or torch.equal(backbone.state_dict()[name], value)
    backbone.pos_embed.data, backbone.patch_resolution = encoder.backbone.pos_embed.data, (4, 4)
    assert torch.equal(backbone(pixels)[-1], encoder.feature_map(images))
