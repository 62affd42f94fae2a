"""PackViews against mmaction2's ThreeCrop, FormatShape and PackActionInputs."""
import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import (
    Flip,
    FormatShape,
    PackActionInputs,
    TenCrop,
    ThreeCrop,
)
from mmaction.models import ActionDataPreprocessor
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from vicmae_mm.datasets.transforms import PackViews
from vicmae_mm.registry import TRANSFORMS

SIDE = 8
SHAPES = {'wide': (SIDE, 13), 'high': (11, SIDE), 'square': (SIDE, SIDE), 'odd': (SIDE, 12)}


class Decode:
    """Frames of noise, of which each number has its own."""

    def __init__(self, height: int, width: int) -> None:
        self.video = np.random.default_rng(0).integers(0, 256, (30, height, width, 3), np.uint8)

    def __call__(self, results: dict) -> dict:
        frame_inds = results['frame_inds'].ravel()
        imgs = [self.video[i].copy() for i in frame_inds]
        return dict(results, frame_inds=frame_inds, imgs=imgs, img_shape=imgs[0].shape[:2])


def sample(frame_inds: list[list[int]]) -> dict:
    """What a sampling transform leaves of some clips."""
    return dict(
        frame_inds=np.array(frame_inds), num_clips=len(frame_inds), clip_len=len(frame_inds[0]),
        label=3, modality='RGB', filename='a.mp4')


OVERLAPPING = [[4, 8, 12], [8, 12, 16], [0, 4, 8]]
CLIPS = {'overlapping': OVERLAPPING, 'apart': [[9, 8], [7, 6]], 'one clip': [[2, 2, 5]],
         'one frame': [[0, 0], [0, 0]]}


@pytest.mark.parametrize('twice', [False, True])
@pytest.mark.parametrize('clips', CLIPS)
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('input_format', ['NCTHW', 'NCHW'])
def test_tensor_is_the_stock_one(shape, clips, input_format, twice):
    results = sample(CLIPS[clips])
    if twice:  # as SampleFrames(twice_sample=True), which does not count them in num_clips
        results['frame_inds'] = np.concatenate((results['frame_inds'], results['frame_inds'] + 1))
    before, meta_keys = results['frame_inds'].copy(), ('img_shape', 'filename', 'frame_inds')
    decode, flip = Decode(*SHAPES[shape]), Flip(flip_ratio=1.)  # which writes to its images
    ours = Compose([decode, PackViews(SIDE, [flip], input_format, meta_keys=meta_keys)])(results)
    stock = Compose([decode, flip, ThreeCrop(SIDE), FormatShape(input_format), PackActionInputs(
        meta_keys=meta_keys)])(dict(results))
    got, expected = ours['inputs'].to('cpu'), stock['inputs']
    assert got.dtype == torch.uint8 and torch.equal(got, expected)
    assert got.stride() == expected.stride()
    assert np.array_equal(ours['data_samples'].frame_inds, before.ravel())
    for key in ('img_shape', 'filename', 'gt_label'):
        assert getattr(ours['data_samples'], key) == getattr(stock['data_samples'], key)
    assert np.array_equal(results['frame_inds'], before)


def test_each_frame_is_prepared_and_sent_once():
    prepared = []

    def prepare(results):
        prepared.append(len(results['imgs']))
        return results

    packed = Compose([Decode(SIDE, 13), PackViews(SIDE, [prepare])])(sample(OVERLAPPING))
    assert prepared == [5]
    assert packed['inputs'].frames.shape == (5, SIDE, 13, 3)
    assert packed['inputs'].clips.tolist() == [[0, 1, 2], [1, 2, 3], [4, 0, 1]]


def test_transforms_that_multiply_or_reject_frames():
    decode = Decode(SIDE, 13)
    with pytest.raises(ValueError, match='are 50 images of 5 frames'):
        Compose([decode, PackViews(SIDE, [TenCrop(SIDE)])])(sample(OVERLAPPING))
    with pytest.raises(ValueError, match='are 90 images of 9 frames'):
        Compose([decode, TenCrop(SIDE), PackViews(SIDE)])(sample(OVERLAPPING))
    assert Compose([decode, PackViews(SIDE, [lambda results: None])])(sample(OVERLAPPING)) is None


@pytest.mark.parametrize('workers', [0, 1])
def test_mmaction2s_preprocessor_gets_clips_of_several_videos_from_a_worker(workers):
    videos = [Decode(*SHAPES['wide']), Decode(*SHAPES['high'])]
    videos[1].video = 255 - videos[1].video
    packed = [Compose([decode, PackViews(SIDE)])(sample(OVERLAPPING)) for decode in videos]
    batch, = DataLoader(packed, batch_size=2, num_workers=workers, collate_fn=pseudo_collate)
    preprocessor = ActionDataPreprocessor(mean=[1., 2., 3.], std=[4.] * 3, format_shape='NCTHW')
    got = preprocessor(batch)['inputs']
    assert got.shape == (2, 9, 3, 3, SIDE, SIDE) and got.dtype == torch.float32
    second = videos[0].video[8, :, 4:12]  # the clips' first crops, then their second, at the right
    expected = (second.transpose(2, 0, 1) - np.array([1., 2., 3.])[:, None, None]) / 4
    np.testing.assert_allclose(got[0, 3 + 1, :, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        got[1, 6 + 2, 0, 1], (videos[1].video[4, 1:9, :, 0] - 1.) / 4, rtol=1e-6)


@pytest.mark.gpu
def test_views_are_cut_on_the_gpu():
    packed = Compose([Decode(SIDE, 13), PackViews(SIDE)])(sample(OVERLAPPING))
    got = packed['inputs'].to('cuda', non_blocking=True)
    assert got.is_cuda and torch.equal(got.cpu(), packed['inputs'].to('cpu'))


@pytest.mark.parametrize('shape', [(SIDE + 1, 20), (SIDE - 1, SIDE), (20, 30)])
def test_frames_that_the_crops_do_not_fit(shape):
    with pytest.raises(ValueError, match=rf'{shape[1]} x {shape[0]} .*crop_size=8.*Resize'):
        Compose([Decode(*shape), PackViews(SIDE)])(sample([[0]]))


def test_arguments_and_registration():
    message = r"input_format='NPTCHW' should be one of \('NCTHW', 'NCHW'\)"
    with pytest.raises(ValueError, match=message):
        PackViews(SIDE, input_format='NPTCHW')
    built = TRANSFORMS.build(dict(
        type='vicmae_mm.PackViews', crop_size=SIDE, meta_keys=('a', )))
    assert repr(built).startswith('PackViews(crop_size=8, transforms=')
    assert "input_format='NCTHW', pack=PackActionInputs" in repr(built)
