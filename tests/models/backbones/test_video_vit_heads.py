"""VideoViT under the heads and necks of mmaction2 that take tuples of feature maps."""
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.registry import DefaultScope

from vicmae_mm.registry import MODELS

WIDTH = 32
BACKBONE = dict(
    type='vicmae_mm.VideoViT', img_size=32, patch_size=8, num_frames=8, tubelet_size=2,
    arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=64),
    out_type='featmap')
MAPS = [(2, WIDTH, 4, 4, 4)]


def tpn(stages: int) -> dict:
    return dict(
        type='TPN', in_channels=(WIDTH, ) * stages, out_channels=WIDTH,
        spatial_modulation_cfg=dict(in_channels=(WIDTH, ) * stages, out_channels=WIDTH),
        temporal_modulation_cfg=dict(downsample_scales=(4, ) * stages),
        upsample_cfg=dict(scale_factor=(1, 1, 1)), downsample_cfg=dict(downsample_scale=(1, 1, 1)),
        level_fusion_cfg=dict(
            in_channels=(WIDTH, ) * stages, mid_channels=(WIDTH, ) * stages, out_channels=WIDTH,
            downsample_scales=((1, 1, 1), ) * stages))


# head: (its settings, settings of the backbone, a neck, shapes that the backbone returns)
HEADS = {
    'SlowFastHead': (dict(in_channels=2 * WIDTH), dict(out_indices=(0, 1)), None, MAPS * 2),
    'MViTHead': (dict(in_channels=WIDTH, with_cls_token=False), dict(tuple_output=True), None,
                 MAPS),
    'TPNHead': (dict(in_channels=2048), dict(out_indices=(0, 1)), tpn(2), MAPS * 2),
    'TPNHead of one stage': (dict(in_channels=2048), dict(tuple_output=True), tpn(1), MAPS),
}


@pytest.mark.parametrize('name', HEADS)
def test_a_head_that_wants_a_tuple_trains_a_step(name):
    torch.manual_seed(0)
    head, backbone, neck, shapes = HEADS[name]
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(dict(
            type='Recognizer3D', backbone=dict(BACKBONE, **backbone), neck=neck,
            cls_head=dict(type=name.split()[0], num_classes=3, average_clips='prob', **head),
            data_preprocessor=dict(type='ActionDataPreprocessor')))
    model.init_weights()
    clips = torch.rand(2, 1, 3, 8, 32, 32)
    features = model.backbone(clips[:, 0])
    assert isinstance(features, tuple) and [each.shape for each in features] == shapes
    samples = [ActionDataSample().set_gt_label(label) for label in (0, 2)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {key: value.clone() for key, value in model.named_parameters()}
    model.loss(clips, samples)['loss_cls'].backward()
    optimizer.step()
    unmoved = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert not unmoved
    with torch.no_grad():
        scores = model.eval()(clips, samples, mode='predict')
    assert all(sample.pred_score.shape == (3, ) for sample in scores)
    assert all(sample.pred_score.sum() == pytest.approx(1) for sample in scores)
