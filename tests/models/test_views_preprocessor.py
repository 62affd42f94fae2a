"""ViewsDataPreprocessor against mmaction2's ActionDataPreprocessor, bit by bit."""
import numpy as np
import pytest
import torch
from mmaction.models import ActionDataPreprocessor
from mmaction.structures import ActionDataSample

from vicmae_mm.datasets.transforms.views import Views
from vicmae_mm.models import ViewsDataPreprocessor
from vicmae_mm.registry import MODELS

NORMALISE = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def video(seed: int, in_a_row: bool) -> Views:
    rng = np.random.default_rng(seed)
    clips = torch.tensor([[0, 2, 4], [2, 4, 1]])
    return Views(
        frames=torch.from_numpy(rng.integers(0, 256, (5, 8, 13, 3), np.uint8)),
        clips=clips.flatten() if in_a_row else clips, corners=[(0, 0), (4, 0), (2, 0)], size=(8, 8))


@pytest.mark.parametrize('settings', [NORMALISE, dict(NORMALISE, to_rgb=True), dict(), dict(
    to_float32=False)], ids=['normalised', 'from BGR', 'as they are', 'bytes'])
@pytest.mark.parametrize('format_shape', ['NCTHW', 'NCHW'])
@pytest.mark.parametrize('videos', [1, 2])
def test_result_is_the_stock_one(settings, format_shape, videos):
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


@pytest.mark.parametrize('training', [True, False])
def test_clips_go_the_stock_way(training):
    def batch() -> dict:
        torch.manual_seed(0)
        return dict(inputs=[torch.randint(0, 256, (1, 3, 2, 8, 8), dtype=torch.uint8)] * 2,
                    data_samples=[ActionDataSample().set_gt_label(n) for n in range(2)])

    settings = dict(NORMALISE, format_shape='NCTHW')
    mixing = dict(type='vicmae_mm.MixupCutmix', num_classes=2)
    got = ViewsDataPreprocessor(**settings, blending=mixing)(batch(), training)['inputs']
    plain = ActionDataPreprocessor(**settings)(batch())['inputs']
    assert got.shape == plain.shape and torch.equal(got, plain) != training


def test_frames_that_are_no_bytes_are_not_written_to():
    views = video(0, in_a_row=False)
    views.frames = views.frames.float()
    before = views.frames.clone()
    ViewsDataPreprocessor(**NORMALISE, format_shape='NCTHW')(dict(inputs=[views], data_samples=[]))
    assert torch.equal(views.frames, before)


def test_views_to_train_on_are_mixed():
    settings = dict(NORMALISE, format_shape='NCTHW', blending=dict(
        type='vicmae_mm.MixupCutmix', num_classes=2))
    batch = dict(inputs=[video(n, in_a_row=False) for n in range(2)],
                 data_samples=[ActionDataSample().set_gt_label(n) for n in range(2)])
    mixed = ViewsDataPreprocessor(**settings)(dict(batch), training=True)
    plain = ActionDataPreprocessor(**NORMALISE, format_shape='NCTHW')(dict(batch))
    assert mixed['inputs'].shape == plain['inputs'].shape
    assert not torch.equal(mixed['inputs'], plain['inputs'])
    assert mixed['data_samples'][0].gt_label.shape == (2, )  # shares


def test_registered():
    assert isinstance(MODELS.build(dict(type='vicmae_mm.ViewsDataPreprocessor')),
                      ActionDataPreprocessor)
