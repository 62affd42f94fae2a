"""Layer decay reaches every parameter of a model; mmaction2's own misses the layers."""
import re

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from tests.conftest import REPO
from tests.helpers.models import TINY_ARCH
from vicmae_mm.registry import MODELS

RATE, LAYERS = 0.5, TINY_ARCH['num_layers']
BACKBONES = dict(
    clips=('Recognizer3D', dict(type='vicmae_mm.VideoViT', num_frames=4)),
    frames=('Recognizer2D', dict(type='mmpretrain.VisionTransformer', out_type='avg_featmap')),
)


def recognizer(kind, **backbone):
    type_, cfg = BACKBONES[kind]
    return MODELS.build(dict(
        type=f'mmaction.{type_}',
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
        backbone=dict(arch=TINY_ARCH, img_size=32, patch_size=8, **cfg, **backbone),
        cls_head=dict(type='mmaction.TimeSformerHead', num_classes=3, in_channels=32)))


def groups_of(model, constructor, **paramwise_cfg):
    """The optimizer's group of every parameter, by name; each stands in exactly one."""
    optimizer = build_optim_wrapper(model, dict(
        type='OptimWrapper', constructor=constructor, paramwise_cfg=paramwise_cfg,
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [(names[p], group) for group in optimizer.param_groups for p in group['params']]
    groups = dict(found)
    assert len(found) == len(groups)
    assert groups.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    return groups


def closed_form(name: str) -> float:
    """MAE's appendix A.2: the rate to the power of the layers above a parameter."""
    layer = re.match(r'backbone\.layers\.(\d+)\.', name)
    if layer:
        return RATE**(LAYERS - int(layer[1]))
    stem = r'backbone\.(cls_token|pos_embed|temporal_embed|patch_embed\.projection\.(weight|bias))'
    return RATE**(LAYERS + 1) if re.fullmatch(stem, name) else 1.0


@pytest.mark.parametrize('kind', BACKBONES)
def test_every_parameter_decays_by_its_depth(kind):
    model = recognizer(kind)
    groups = groups_of(model, 'vicmae_mm.LayerDecayOptimWrapperConstructor', layer_decay_rate=RATE)
    for name, group in groups.items():
        assert group['lr'] == group['lr_scale'] == closed_form(name), name
    assert ('backbone.temporal_embed' in groups) == (kind == 'clips')
    assert len({group['lr'] for group in groups.values()}) == LAYERS + 2


def test_mmactions_own_leaves_all_layers_at_the_full_rate():
    # silently, because the name of the class is one it knows
    groups = groups_of(recognizer('frames'), 'mmaction.LearningRateDecayOptimizerConstructor',
                       num_layers=LAYERS, decay_rate=RATE)
    layers = [group for name, group in groups.items() if '.layers.' in name]
    assert len(layers) == 12 * LAYERS
    assert {group['lr_scale'] for group in layers} == {1.0}
    with pytest.raises(NotImplementedError):
        groups_of(recognizer('clips'), 'mmaction.LearningRateDecayOptimizerConstructor',
                  num_layers=LAYERS, decay_rate=RATE)


def test_mmpretrains_own_refuses_a_recognizer():
    with pytest.raises(NotImplementedError, match='get_layer_depth'):
        groups_of(recognizer('clips'), 'mmpretrain.LearningRateDecayOptimWrapperConstructor',
                  layer_decay_rate=RATE)


def test_weight_decay_of_the_recipes():
    groups = groups_of(
        recognizer('clips'), 'vicmae_mm.LayerDecayOptimWrapperConstructor', layer_decay_rate=RATE,
        norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0,
        custom_keys={'.temporal_embed': dict(decay_mult=0.0)})
    undecayed = {name for name, group in groups.items() if group['weight_decay'] == 0}
    assert undecayed == {
        name for name in groups
        if re.search(r'(bias|ln\d\.weight|temporal_embed)$', name)}
    assert {group['weight_decay'] for name, group in groups.items()
            if name not in undecayed} == {0.1}


@pytest.mark.parametrize('schedule', ['clips_adamw_75e', 'imagenet_adamw_100e'])
def test_registers_do_not_decay(schedule):
    cfg = Config.fromfile(REPO / f'configs/_base_/schedules/{schedule}.py')
    groups = groups_of(recognizer('clips', num_registers=2),
                       'vicmae_mm.LayerDecayOptimWrapperConstructor',
                       **cfg.optim_wrapper.paramwise_cfg)
    assert groups['backbone.register_tokens']['weight_decay'] == 0


def test_frozen_parameters_are_left_out():
    groups = groups_of(recognizer('clips', frozen_stages=LAYERS),
                       'vicmae_mm.LayerDecayOptimWrapperConstructor', layer_decay_rate=RATE)
    assert set(groups) == {'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'}


def test_backbone_without_depths_is_refused():
    model = recognizer('clips')
    model.backbone = model.cls_head
    with pytest.raises(ValueError, match='TimeSformerHead has no get_layer_depth'):
        groups_of(model, 'vicmae_mm.LayerDecayOptimWrapperConstructor', layer_decay_rate=RATE)


@pytest.mark.parametrize('settings, message', [
    (dict(layer_decay_rate=75), r'layer_decay_rate=75 should be a factor'),
    (dict(layer_decay_rate=0), r'layer_decay_rate=0 should be a factor'),
    (dict(layer_decay_rate='0.75'), r"layer_decay_rate='0\.75' should be a factor"),
    (dict(custom_keys={'head': dict(lr_mult=10)}), r"custom_keys\['head'\]\.lr_mult has no"),
    (dict(bias_lr_mult=2.), r'bias_lr_mult has no effect with layer decay'),
])
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        groups_of(recognizer('frames'), 'vicmae_mm.LayerDecayOptimWrapperConstructor',
                  **dict(dict(layer_decay_rate=RATE), **settings))


def test_a_rate_without_layer_decay_is_refused():
    with pytest.raises(ValueError, match='LayerDecayOptimWrapperConstructor'):
        groups_of(recognizer('frames'), 'vicmae_mm.FusedOptimWrapperConstructor',
                  layer_decay_rate=RATE)


def test_a_tied_parameter_is_refused_or_bypassed():
    model = recognizer('clips')
    model.tied = model.cls_head.fc_cls
    name = 'vicmae_mm.LayerDecayOptimWrapperConstructor'
    with pytest.raises(ValueError, match=r'fc_cls\.weight and tied\.weight are one'):
        groups_of(model, name, layer_decay_rate=RATE)
    groups = groups_of(model, name, layer_decay_rate=RATE, bypass_duplicate=True)
    assert groups['cls_head.fc_cls.weight']['param_name'] == 'cls_head.fc_cls.weight'
