"""PerClip: one crop per clip, and clips packed as views."""
import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import FormatShape
from mmengine.registry import DefaultScope

from tests.datasets.helpers import write_list
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import SampleIndex, VideoPairDataset
from vicmae_mm.datasets.transforms import PackFrames, PerClip, PerFrame, SampleClipPair

CROP = dict(type='mmpretrain.RandomResizedCrop', scale=16, crop_ratio_range=(0.3, 1.0))
# two ways to crop a clip: transforms of mmpretrain frame by frame, or mmaction2's
CROPS = {
    'mmpretrain': [dict(type='vicmae_mm.PerFrame', share_random_params=True, transforms=[
        CROP, dict(type='mmpretrain.RandomFlip', prob=0.5)])],
    'mmaction': [dict(type='mmaction.RandomResizedCrop', area_range=(0.1, 1.0)),
                 dict(type='mmaction.Resize', scale=(16, 16), keep_ratio=False),
                 dict(type='mmaction.Flip', flip_ratio=0.5)],
}


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> str:
    return str(make_video(tmp_path_factory.mktemp('video') / 'a b.mp4', 60))


def gradient() -> np.ndarray:
    """A picture in which the value tells the place, so that equal crops are equal."""
    return np.arange(48 * 64, dtype=np.float32).reshape(48, 64, 1).repeat(3, axis=2)


def still_clips(clip_len: int = 3, num_pairs: int = 2) -> dict:
    """The same picture in every frame."""
    results = SampleClipPair(clip_len, num_pairs=num_pairs)(dict(total_frames=40))
    imgs = [gradient() for _ in results['frame_inds']]
    return dict(results, imgs=imgs, img_shape=(48, 64), modality='RGB')


@pytest.mark.parametrize('name', CROPS)
def test_frames_of_a_clip_share_a_crop_and_clips_do_not(name):
    np.random.seed(0)
    results = PerClip(CROPS[name])(still_clips())
    assert len(results['imgs']) == 12 and results['num_clips'] == 4
    clips = FormatShape('NCTHW')(results)['imgs']
    assert clips.shape == (4, 3, 3, 16, 16)
    for clip in clips:
        assert (clip == clip[:, :1]).all()
    assert len({clip.tobytes() for clip in clips}) == 4


def test_a_rejected_clip_rejects_the_sample():
    assert PerClip([lambda clip: None])(still_clips()) is None


@pytest.mark.parametrize('broken, message', [
    (lambda: PerClip([])(dict(still_clips(), num_clips=3)), 'needs results'),
    (lambda: PerClip([])(dict(total_frames=3)), 'SampleClipPair before them'),
    (lambda: PerClip([dict(type='mmaction.FormatShape', input_format='NCTHW')])(still_clips()),
     'put FormatShape after PerClip'),
    (lambda: PerFrame([], frames=[1])(still_clips()), r'clips of 3 frames: leave it out'),
])
def test_what_would_be_misread_is_refused(broken, message):
    with pytest.raises(ValueError, match=message):
        broken()


@pytest.mark.parametrize('num_pairs', [1, 2])
def test_samples_of_a_dataset_are_views(video, num_pairs, tmp_path):
    """Exactly these frames, in a list of clips, repeatable; index 0 is a bad video."""
    bad = tmp_path / 'bad.mp4'
    bad.write_text('no video')
    ann_file = write_list(tmp_path / 'list.txt', [str(bad), video])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = VideoPairDataset(ann_file, allow_outside_root=True, max_bad_share=1, pipeline=[
            dict(type='vicmae_mm.VideoInit'),
            dict(type='vicmae_mm.SampleClipPair', clip_len=4, frame_interval=5,
                 num_pairs=num_pairs),
            dict(type='vicmae_mm.VideoDecode'),
            dict(type='vicmae_mm.PerClip', transforms=[]),
            dict(type='mmaction.FormatShape', input_format='NCTHW'),
            dict(type='vicmae_mm.PackFrames', meta_keys=('frame_inds', 'filename'))])
    starts = set()
    for epoch in range(4):
        index = SampleIndex(0, seed=3, epoch=epoch)
        sample = dataset[index]
        frames = sample['data_samples'].frame_inds.reshape(2 * num_pairs, 4)
        assert [view.shape for view in sample['inputs']] == [(3, 4, 48, 64)] * (2 * num_pairs)
        for view, numbers in zip(sample['inputs'], frames, strict=True):
            assert view.dtype == torch.uint8 and view.is_contiguous()
            assert [read_frame_number(frame) for frame in view.permute(1, 2, 3, 0).numpy()] == [
                *numbers]
        again = dataset[index]['inputs']
        assert all(map(torch.equal, sample['inputs'], again))
        starts.add(frames[:, 0].tobytes())
    assert len(starts) == 4 and str(bad) in dataset.bad_videos


def test_packing_takes_clips_of_any_type():
    clips = np.random.rand(2, 3, 4, 8, 8).astype(np.float32)
    views = PackFrames(meta_keys=())(dict(imgs=clips))['inputs']
    assert isinstance(views, list)
    assert all(map(np.array_equal, views, clips))
