"""The normalisation and the order of channels that a config trains with."""
import pytest
from mmengine.config import Config

from vicmae_mm.apis.normalisation import (
    differing_normalisation,
    is_bgr,
    normalisation_of,
    usual_normalisation,
)
from vicmae_mm.models import PairDataPreprocessor

RGB = [123.675, 116.28, 103.53]
IMAGE = dict(type='mmpretrain.LoadImageFromFile')
VIDEO = dict(type='vicmae_mm.VideoDecode')


def config(*steps, **preprocessor):
    loader = dict(dataset=dict(type='CustomDataset', pipeline=list(steps))) if steps else None
    return Config(dict(model=dict(data_preprocessor=dict(preprocessor)), train_dataloader=loader))


@pytest.mark.parametrize('cfg, bgr', [
    (config(IMAGE, to_rgb=True), False),
    (config(IMAGE, to_rgb=False), True),
    (config(IMAGE), True),  # mmpretrain's default
    (config(IMAGE, bgr_to_rgb=True), False),
    (config(IMAGE, rgb_to_bgr=True), False),  # whatever its name, it reverses the channels
    (config(VIDEO, to_rgb=False), False),
    (config(VIDEO, to_rgb=True), True),
    (config(dict(type='PyAVDecode'), bgr_to_rgb=True), True),
    (config(dict(type='PackInputs')), False),  # CIFAR's arrays are RGB
    (config(), False),
    (config(to_rgb=True, mean=RGB), False),
    (config(mean=RGB[::-1]), True),
    (config(rgb_to_bgr=True), True),
])
def test_order_of_channels(cfg, bgr):
    assert is_bgr(cfg, 'a.py') is bgr


def test_wrapped_datasets_are_searched():
    inner = dict(type='CustomDataset', pipeline=[IMAGE])
    cfg = Config(dict(model=dict(data_preprocessor=dict()), train_dataloader=dict(dataset=dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner])))))
    assert is_bgr(cfg, 'a.py')


def test_both_orders_are_refused():
    with pytest.raises(ValueError, match='the order of its channels is not known'):
        is_bgr(config(IMAGE, VIDEO), 'a.py')


def test_normalisation():
    assert normalisation_of(config(IMAGE, mean=[1, 2, 3], std=[4, 5, 6]), {}, 'a.py') == dict(
        mean=[1, 2, 3], std=[4, 5, 6], bgr=True)
    plain = dict(mean=[0.] * 3, std=[1.] * 3, bgr=True)
    assert normalisation_of(config(IMAGE), {}, 'a.py') == plain
    # as ImageClassifier does without a data_preprocessor
    cfg = config(IMAGE)
    del cfg.model['data_preprocessor']
    assert normalisation_of(cfg, {}, 'a.py') == plain


def test_what_a_config_does_not_say():
    cfg = Config(dict(model=dict()))
    family = dict(mean=[127.5] * 3, std=[127.5] * 3)
    assert normalisation_of(cfg, family, 'a.py') == family
    with pytest.raises(ValueError, match=r'a\.py does not normalise by a data_preprocessor'):
        normalisation_of(cfg, {}, 'a.py')
    with pytest.raises(ValueError, match='does not normalise by a data_preprocessor'):
        normalisation_of(config(IMAGE, dict(type='Normalize', mean=RGB)), {}, 'a.py')


def test_differing_normalisation():
    half = dict(mean=[127.5] * 3, std=[127.5] * 3)
    module = PairDataPreprocessor(**half)
    assert differing_normalisation(module, half) == ''
    assert differing_normalisation(module, {}) == (
        'mean=[123.675, 116.28, 103.53] and std=[58.395, 57.12, 57.375]')
    clip = usual_normalisation('timm', ['backbone.pre_norm.weight'])
    assert '122.771' in differing_normalisation(module, clip)
    assert usual_normalisation('timm', ['backbone.layers.0.attn.gamma1.weight']) == {}
    assert usual_normalisation('timm', []) == half
