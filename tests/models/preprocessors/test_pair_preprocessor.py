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
