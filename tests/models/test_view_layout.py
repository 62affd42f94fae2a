"""Every layout of a batch gives the same pairs, the same loss, or is refused in words."""
import pytest
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.structures import ActionDataSample
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from tests.helpers.models import tiny_vicmae
from vicmae_mm.models import PairDataPreprocessor
from vicmae_mm.models.view_layout import split_views

NORMAL = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
BACKBONES = {
    4: dict(type='mmaction.ResNet', depth=18, norm_eval=False),
    5: dict(type='mmaction.ResNet3d', depth=18, pretrained2d=False, norm_eval=False,
            conv1_kernel=(1, 3, 3), inflate=0),
}
POOLING = {4: 'mmpretrain.GlobalAveragePooling', 5: 'mmpretrain.GlobalAveragePooling'}


def contrast_only(ndim: int = 4):
    return tiny_vicmae(
        backbone=dict(_delete_=True, **BACKBONES[ndim]), decoder=None, head=None, init_cfg=None,
        pooling=dict(_delete_=True, type=POOLING[ndim], **({} if ndim == 4 else dict(dim=3))),
        projector=dict(in_channels=512))


def views(*shape: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, shape, generator=generator, dtype=torch.uint8)
            for _ in range(count)]


@pytest.mark.parametrize('frames', [(), (1, ), (2, ), (3, ), (4, )])
@pytest.mark.parametrize('count', [1, 2, 3, 4])
def test_stacked_views_are_those_of_the_list(frames, count):
    wanted = views(5, 3, *frames, 8, 6, count=count)
    stacked = torch.stack(wanted, dim=1)
    if stacked.shape[1:3] == (3, 3) and stacked.ndim == 5:
        with pytest.raises(ValueError, match='three images or a clip of three frames'):
            split_views(stacked)
        return
    for inputs in (wanted, tuple(wanted), stacked):
        got = split_views(inputs)
        assert len(got) == count
        assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize('frames', [(), (1, ), (2, ), (4, ), (3, )])
def test_a_tensor_with_the_channels_second_is_one_view(frames):
    view = views(5, 3, *frames, 8, 6)[0]
    if frames == (3, ):
        with pytest.raises(ValueError, match='pass the views as a list'):
            split_views(view)
    else:
        assert len(split_views(view)) == 1 and torch.equal(split_views(view)[0], view)


@pytest.mark.parametrize('inputs, message', [
    ([], 'default_collate'),
    (None, 'default_collate'),
    ([views(3, 8, 6), views(3, 8, 6)], 'default_collate'),  # pseudo_collate of lists
    (views(3, 8, 6), 'Unstacked samples'),
    (views(3, 8, 6)[0], 'Unstacked samples'),
    ([*views(4, 3, 8, 6), *views(4, 3, 8, 8)], 'must have one shape'),
    ([*views(4, 3, 8, 6), *views(4, 3, 2, 8, 6)], 'must have one shape'),
    (views(4, 8, 6, 3), '3 channels'),
    (views(4, 2, 3, 8, 6), '3 channels'),  # frames before channels
    (views(4, 2, 3, 2, 3, 8, 6)[0], '3 channels'),  # two axes of clips
    (views(4, 2, 8, 3, 8, 6)[0], '3 channels'),
])
def test_what_cannot_be_views_is_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        split_views(inputs)


@pytest.mark.parametrize('ndim, frames', [(4, ()), (5, (2, )), (5, (3, ))])
def test_the_loss_of_stacked_pairs_is_that_of_the_list(ndim, frames):
    pairs = [view.float() / 100 for view in views(7, 3, *frames, 32, 32, count=4)]
    model = contrast_only(ndim)
    listed = model.loss(pairs)
    stacked = model.loss(torch.stack(pairs, dim=1))
    assert listed.keys() == stacked.keys()
    assert all(torch.equal(listed[name], stacked[name]) for name in listed)
    # not the pairs of neighbouring videos
    assert not torch.equal(listed['contrast'], model.loss([pairs[0], pairs[2]] * 2)['contrast'])


def test_the_masked_loss_of_stacked_pairs_is_that_of_the_list():
    model, pairs = tiny_vicmae(), [view.float() / 100 for view in views(4, 3, 32, 32)]
    losses = []
    for inputs in (pairs, torch.stack(pairs, dim=1)):
        torch.manual_seed(0)
        losses.append(model.loss(inputs))
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


@pytest.mark.parametrize('shape, message', [
    ((4, 3, 32, 32), 'num_frames=2'),
    ((4, 1, 3, 32, 32), 'num_frames=2'),
    ((4, 3, 8, 32, 32), 'takes images'),
    ((4, 2, 3, 8, 32, 32), 'takes images'),
])
def test_the_loss_refuses_what_is_not_its_pairs(shape, message):
    with pytest.raises(ValueError, match=message):
        tiny_vicmae().loss(torch.zeros(shape))


def test_one_stacked_frame_reconstructs():
    model = tiny_vicmae(pooling=None, projector=None, contrast_head=None)
    for shape in ((4, 3, 32, 32), (4, 1, 3, 32, 32)):
        assert model.loss(torch.rand(shape))['recon'] > 0


def packed(count: int, *shape: int) -> list[dict]:
    """Samples as mmaction2's ``PackActionInputs`` makes them."""
    generator = torch.Generator().manual_seed(0)
    return [dict(inputs=torch.randint(256, shape, generator=generator, dtype=torch.uint8),
                 data_samples=ActionDataSample()) for _ in range(count)]


@pytest.mark.parametrize('shape, layout', [
    ((2, 3, 8, 6), 'NCHW'), ((2, 3, 1, 8, 6), 'NCTHW'), ((2, 3, 3, 8, 6), 'NCTHW'),
    ((4, 3, 5, 8, 6), 'NCTHW')])
def test_both_preprocessors_give_the_same_views(shape, layout):
    samples = packed(5, *shape)
    stock = ActionDataPreprocessor(format_shape=layout, to_rgb=True, **NORMAL)(
        pseudo_collate(samples), True)
    ours = PairDataPreprocessor(to_rgb=True, **NORMAL)(default_collate(samples), True)
    assert torch.equal(ours['inputs'], stock['inputs'])


@pytest.mark.parametrize('layout, shape, message', [
    ('NCHW', (2, 3, 1, 32, 32), "set it to 'NCTHW'"),
    ('NCHW', (2, 3, 3, 32, 32), "set it to 'NCTHW'"),
    ('NCTHW', (2, 3, 32, 32), "set it to 'NCHW'"),
])
def test_another_format_than_the_preprocessors_is_refused(layout, shape, message):
    model = contrast_only(5)
    model.data_preprocessor = ActionDataPreprocessor(format_shape=layout)
    batch = model.data_preprocessor(pseudo_collate(packed(4, *shape)), True)
    with pytest.raises(ValueError, match=message):
        model.loss(**batch)


@pytest.mark.parametrize('count', [2, 3, 4, 7])
def test_tensors_per_sample_are_not_taken_for_views(count):
    """mmengine's default collate function leaves a list of (views, 3, H, W), one per video."""
    batch = pseudo_collate(packed(count, 2, 3, 8, 6))
    with pytest.raises(ValueError, match=f'has {count} samples'):
        PairDataPreprocessor(**NORMAL)(batch, True)
    with pytest.raises(ValueError, match='default_collate'):
        contrast_only().loss([view.float() for view in batch['inputs']], batch['data_samples'])


@pytest.mark.parametrize('count', [2, 3, 4, 7])
@pytest.mark.parametrize('preprocessor', [ActionDataPreprocessor, ClsDataPreprocessor])
def test_lists_that_another_preprocessor_stacks_view_by_view_are_refused(preprocessor, count):
    """They become (views, B, 3, H, W)."""
    samples = [dict(inputs=views(3, 32, 32), data_samples=DataSample()) for _ in range(count)]
    batch = preprocessor(**NORMAL)(default_collate(samples), True)
    assert batch['inputs'].shape == (2, count, 3, 32, 32)
    # of three samples, it looks like three images or a clip of three frames
    with pytest.raises(ValueError, match='three images' if count == 3 else f'has {count} '):
        contrast_only().loss(**batch)


def test_a_preprocessor_of_single_images_is_refused_for_pairs():
    """It would leave the channels of stacked pairs in the order blue, green, red."""
    model = contrast_only()
    model.data_preprocessor = ClsDataPreprocessor(**NORMAL, to_rgb=True)
    with pytest.raises(ValueError, match='takes single images'):
        model.loss(**model.data_preprocessor(default_collate(packed(5, 2, 3, 32, 32)), True))
