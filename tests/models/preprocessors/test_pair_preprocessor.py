"""PairDataPreprocessor against mmpretrain's preprocessor, bit by bit."""
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample

from vicmae_mm.models import PairDataPreprocessor

NORMAL = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def batch(dtype=torch.uint8, collate=default_collate):
    generator = torch.Generator().manual_seed(0)
    return collate([dict(
        inputs=[torch.randint(256, (3, 8, 6), generator=generator).to(dtype) for _ in range(2)],
        data_samples=DataSample(metainfo=dict(filename=f'{i}.mp4'))) for i in range(3)])


@pytest.mark.parametrize('settings', [
    NORMAL, dict(NORMAL, to_rgb=True), dict(rgb_to_bgr=True), dict(NORMAL, non_blocking=True)])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float64, torch.int64])
def test_is_bit_identical_to_the_stock_preprocessor(settings, dtype):
    data = batch(dtype)
    wanted = SelfSupDataPreprocessor(**settings)(data, True)
    got = PairDataPreprocessor(**settings)(data, True)
    assert [view.dtype for view in got['inputs']] == [torch.float32] * 2
    for view, stock in zip(got['inputs'], wanted['inputs'], strict=True):
        assert torch.equal(view, stock)
    assert [sample.filename for sample in got['data_samples']] == ['0.mp4', '1.mp4', '2.mp4']


def test_takes_a_single_view_and_does_not_change_the_batch():
    view = batch(torch.float32)['inputs'][0]
    before = view.clone()
    got = PairDataPreprocessor(**NORMAL)(dict(inputs=view))
    assert torch.equal(got['inputs'], SelfSupDataPreprocessor(**NORMAL)(
        dict(inputs=view, data_samples=None))['inputs'])
    assert got['data_samples'] is None
    assert torch.equal(view, before)


def test_error_names_the_required_collate_function():
    with pytest.raises(ValueError, match='default_collate'):
        PairDataPreprocessor(**NORMAL)(batch(collate=pseudo_collate))


@pytest.mark.parametrize('frames', [1, 2, 3, 5])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_clips_are_normalised_on_the_channel_axis(frames, dtype):
    clips = [torch.randint(256, (2, 3, frames, 8, 6)).to(dtype) for _ in range(2)]
    got = PairDataPreprocessor(**NORMAL, to_rgb=True)(dict(inputs=clips))['inputs']
    for clip, view in zip(clips, got, strict=True):
        assert view.shape == clip.shape and view.dtype == torch.float32
        for channel, (mean, std) in enumerate(zip(*NORMAL.values(), strict=True)):
            assert torch.equal(view[:, channel], (clip[:, 2 - channel].float() - mean) / std)


def test_a_single_clip_is_normalised_and_stays_a_tensor():
    clip = torch.randint(256, (2, 3, 4, 8, 6), dtype=torch.uint8)
    preprocessor = PairDataPreprocessor(**NORMAL)
    assert torch.equal(preprocessor(dict(inputs=clip))['inputs'],
                       preprocessor(dict(inputs=[clip]))['inputs'][0])


@pytest.mark.parametrize('shape', [
    (2, 3, 3, 8, 6), (2, 8, 6, 3), (2, 4, 1, 8, 6), (3, 8, 6), (2, 1, 3, 3, 3, 8, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r'channels|frames'):
        PairDataPreprocessor(**NORMAL)(dict(inputs=torch.zeros(shape)))
