"""ViewsDataPreprocessor against mmaction2's ActionDataPreprocessor, bit by bit."""
import numpy as np
import pytest
import torch
from mmaction.models import ActionDataPreprocessor
from mmaction.structures import ActionDataSample

from vicmae_mm.models import ViewsDataPreprocessor
from vicmae_mm.registry import MODELS
from vicmae_mm.structures import Views

NORMALISE = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def video(seed: int, in_a_row: bool) -> Views:
    rng = np.random.default_rng(seed)
    clips = torch.tensor([[0, 2, 4], [2, 4, 1]])
    return Views(
        frames=torch.from_numpy(rng.integers(0, 256, (5, 8, 13, 3), np.uint8)),
        clips=clips.flatten() if in_a_row else clips, corners=[(0, 0), (4, 0), (2, 0)], size=(8, 8))


@pytest.mark.parametrize('settings', [NORMALISE, dict(NORMALISE, to_rgb=True), dict(), dict(
    to_float32=False), dict(mean=[128.], std=[64.])], ids=[
        'normalised', 'from BGR', 'as they are', 'bytes', 'one number'])
@pytest.mark.parametrize('format_shape', ['NCTHW', 'NCHW'])
@pytest.mark.parametrize('videos', [1, 2])
def test_equals_the_stock_preprocessor(settings, format_shape, videos):
    inputs = [video(n, format_shape == 'NCHW') for n in range(videos)]
    before = [views.frames.clone() for views in inputs]
    samples = [ActionDataSample().set_gt_label(n) for n in range(videos)]
    got, expected = (kind(**settings, format_shape=format_shape)(dict(
        inputs=list(inputs), data_samples=samples))
        for kind in (ViewsDataPreprocessor, ActionDataPreprocessor))
    assert got['inputs'].dtype == expected['inputs'].dtype
    assert torch.equal(got['inputs'], expected['inputs'])
    if 'to_rgb' not in settings:  # for which the stock class arranges the memory anew
        assert got['inputs'].stride() == expected['inputs'].stride()
    assert [sample.gt_label.item() for sample in got['data_samples']] == list(range(videos))
    assert all(torch.equal(views.frames, frames)
               for views, frames in zip(inputs, before, strict=True))


def test_clips_are_left_to_the_stock_class():
    batch = dict(inputs=[torch.full((1, 3, 2, 8, 8), value, dtype=torch.uint8) for value in (7, 9)],
                 data_samples=[ActionDataSample().set_gt_label(n) for n in range(2)])
    got, expected = (kind(**NORMALISE, format_shape='NCTHW')(dict(batch))['inputs']
                     for kind in (ViewsDataPreprocessor, ActionDataPreprocessor))
    assert got.shape == (2, 1, 3, 2, 8, 8) and torch.equal(got, expected)


def test_float_frames_are_not_modified_in_place():
    views = video(0, in_a_row=False)
    views.frames = views.frames.float()
    before = views.frames.clone()
    ViewsDataPreprocessor(**NORMALISE, format_shape='NCTHW')(dict(inputs=[views], data_samples=[]))
    assert torch.equal(views.frames, before)


@pytest.mark.parametrize('views', [True, False])
@pytest.mark.parametrize('training', [True, False])
def test_training_batches_are_mixed(views, training):
    inputs = [video(n, in_a_row=False) for n in range(2)]
    preprocessor = ViewsDataPreprocessor(**NORMALISE, format_shape='NCTHW', blending=dict(
        type='vicmae_mm.MixupCutmix', num_classes=2))
    batch = preprocessor(dict(
        inputs=inputs if views else [each.to('cpu') for each in inputs],
        data_samples=[ActionDataSample().set_gt_label(n) for n in range(2)]), training)
    assert batch['inputs'].shape == (2, 6, 3, 3, 8, 8)
    # shares of both classes, or a class
    assert batch['data_samples'][0].gt_label.shape == ((2, ) if training else (1, ))


def test_registered():
    assert isinstance(MODELS.build(dict(type='vicmae_mm.ViewsDataPreprocessor')),
                      ActionDataPreprocessor)
