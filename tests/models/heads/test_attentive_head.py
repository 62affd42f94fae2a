"""AttentiveHead in mmaction2's recognizers: clips attended together, views averaged."""
import copy

import pytest
import torch
from mmaction.structures import ActionDataSample
from torch import nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from vicmae_mm.registry import MODELS

CLIPS, VIEWS, CLASSES = 2, 3, 5
VIT = dict(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, out_type='featmap', frozen_stages=2)


def build(dims: int) -> nn.Module:
    torch.manual_seed(0)
    backbone = dict(VIT, type='vicmae_mm.VideoViT', num_frames=4) if dims == 3 else dict(
        VIT, type='mmpretrain.VisionTransformer')
    model = MODELS.build(dict(
        type=f'mmaction.Recognizer{dims}D', backbone=backbone,
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
        cls_head=dict(
            type='vicmae_mm.AttentiveHead', num_classes=CLASSES, in_channels=WIDTH, num_heads=2,
            num_clips=CLIPS, average_clips='prob')))
    model.init_weights()
    for parameter in model.cls_head.parameters():  # so that views differ
        nn.init.normal_(parameter, std=0.3)
    return model


def clips(dims: int, videos: int, number: int) -> torch.Tensor:
    shape = (4, IMG_SIZE, IMG_SIZE) if dims == 3 else (IMG_SIZE, IMG_SIZE)
    return torch.randn(videos, number, 3, *shape)


def samples(number: int) -> list[ActionDataSample]:
    return [ActionDataSample().set_gt_label(n) for n in range(number)]


@pytest.mark.parametrize('dims', [2, 3])
def test_a_view_is_all_its_clips_and_views_are_averaged(dims):
    model, videos = build(dims).eval(), clips(dims, 2, VIEWS * CLIPS)
    pooling = copy.deepcopy(model.cls_head.pooling)
    pooling.num_clips = 1
    with torch.no_grad():
        got = torch.stack([each.pred_score for each in model.predict(videos, samples(2))])
        for video, scores in zip(videos, got, strict=True):
            logits = []
            for view in video.split(CLIPS):
                maps = model.backbone(view)
                maps = maps[0] if isinstance(maps, tuple) else maps
                tokens = torch.cat([each.flatten(1).T for each in maps])  # of all clips
                logits.append(model.cls_head.fc_cls(*pooling(tokens[None]))[0])
            expected = torch.stack(logits).softmax(dim=1).mean(dim=0)
            torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
            assert (scores - torch.stack(logits).mean(dim=0).softmax(dim=0)).abs().max() > 1e-4


@pytest.mark.parametrize('dims', [2, 3])
def test_training_moves_the_probe_alone(dims):
    model = build(dims).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.loss(clips(dims, 3, CLIPS), samples(3))['loss_cls'].backward()
    assert {name.split('.')[0] for name, p in model.named_parameters() if p.grad is not None} == {
        'cls_head'}
    optimizer.step()
    still = {name for name, value in model.state_dict().items() if torch.equal(before[name], value)}
    assert still == {name for name in before if name.startswith('backbone.')}


@pytest.mark.parametrize('videos, number', [(2, 1), (2, 2 * CLIPS), (2, 3 * CLIPS), (2, 3)])
def test_other_numbers_of_clips_are_refused(videos, number):
    """Above all a pipeline of one clip, where each two videos would be one sample."""
    model = build(3)
    with pytest.raises(ValueError, match=rf'num_clips={CLIPS}\) got {videos * number} clips of 2'):
        model.loss(clips(3, videos, number), samples(videos))
    if number % CLIPS:
        with pytest.raises(ValueError, match=rf'got {videos * number} clips of {videos} samples'):
            model.predict(clips(3, videos, number), samples(videos))
