"""Types of another library whose parts the default scope lacks: the message says what to add."""
import mmaction.datasets
import mmaction.models  # noqa: F401
import mmpretrain.datasets  # noqa: F401
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope

from tests.helpers.tiny_configs import write_mae
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.run_tool import user_message

BCE = dict(type='BCELossWithLogits')
R2PLUS1D = dict(type='mmaction.ResNet2Plus1d', depth=18, pretrained2d=False,
                conv_cfg=dict(type='Conv2plus1d'))
TIMESFORMER = dict(
    type='mmaction.TimeSformer', num_frames=2, img_size=32, patch_size=16, embed_dims=8,
    num_heads=2, num_transformer_layers=1)
RAND_AUGMENT = dict(type='mmpretrain.RandAugment', policies='timm_increasing', num_policies=4,
                    magnitude_level=7)
HEAD = dict(type='mmaction.I3DHead', num_classes=3, in_channels=4, loss_cls=BCE)
# default scope, what is built, the part that is missing
CASES = [
    ('mmpretrain', MODELS, TIMESFORMER, 'DividedTemporalAttentionWithNorm'),
    ('mmpretrain', MODELS, R2PLUS1D, 'Conv2plus1d'),
    ('mmpretrain', MODELS, dict(type='mmaction.ResNetAudio', depth=50), 'ConvAudio'),
    ('mmpretrain', MODELS, HEAD, 'BCELossWithLogits'),
    ('mmaction', TRANSFORMS, RAND_AUGMENT, 'AutoContrast'),
]


@pytest.mark.parametrize('scope, registry, cfg, part', CASES)
def test_the_message_names_the_part_and_what_to_add(scope, registry, cfg, part):
    library = cfg['type'].split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        with pytest.raises(KeyError) as caught:
            registry.build(cfg)
        message = user_message(caught.value)
        assert message == (
            f"{cfg['type']} is built from {part!r}, which is looked up in the default scope "
            f"{scope!r}: add _scope_={library!r} to the dict with type={cfg['type']!r}.")
        registry.build(dict(cfg, _scope_=library))


@pytest.mark.parametrize('scope, cfg', [
    ('mmpretrain', dict(type='mmaction.Misspelt')),
    ('mmpretrain', dict(HEAD, loss_cls=dict(type='Misspelt'))),
    ('mmpretrain', dict(type='ImageClassifier', backbone=dict(type='Misspelt'))),
    ('mmaction', dict(HEAD, loss_cls=dict(type='Misspelt')))])
def test_other_unknown_types_get_no_such_advice(scope, cfg):
    with DefaultScope.overwrite_default_scope(scope):
        with pytest.raises(KeyError) as caught:
            MODELS.build(cfg)
        message = user_message(caught.value)
    assert 'isspelt is not in the' in message and '_scope_' not in message


def test_check_config_recognises_it(tmp_path):
    cfg = Config.fromfile(write_mae(tmp_path))
    cfg.model = dict(
        type='vicmae_mm.ViCMAE', backbone=dict(TIMESFORMER), contrast_weight=1.0,
        contrast_head=dict(type='vicmae_mm.InfoNCEHead'))
    cfg.launcher, cfg.work_dir = 'none', str(tmp_path)
    assert any("add _scope_='mmaction' to the dict" in error for error in check_config(cfg).errors)
