"""VideoInit and VideoDecode, alone and in mmaction2's pipelines."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmaction.datasets.transforms import (
    DecordDecode,
    DecordInit,
    FormatShape,
    Resize,
    SampleFrames,
    ThreeCrop,
)
from mmcv.transforms import Compose

from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.torchcodec_reader import TorchCodecReader
from vicmae_mm.datasets.transforms.decoding import VideoDecode, VideoInit
from vicmae_mm.registry import TRANSFORMS


@pytest.fixture
def video(tmp_path) -> str:
    return str(make_video(tmp_path / 'a b.mp4', 48, size=(96, 64), fps=25))


def test_frames_come_in_the_order_asked_for_any_shape(video):
    results = VideoInit().transform(dict(filename=video))
    assert results['total_frames'] == 48 and results['avg_fps'] == pytest.approx(25)
    reader = results['video_reader']
    results['frame_inds'] = np.array([[30, 3], [3, 47]])
    results = VideoDecode().transform(results)
    assert [read_frame_number(image) for image in results['imgs']] == [30, 3, 3, 47]
    assert results['frame_inds'].tolist() == [30, 3, 3, 47]
    assert results['original_shape'] == results['img_shape'] == (64, 96)
    assert results['video_reader'] is None
    with pytest.raises(AssertionError):
        reader._container.seek(0)  # PyAV's word for a closed file


def test_reader_is_closed_when_a_frame_does_not_decode(video):
    results = VideoInit().transform(dict(filename=video))
    reader = results['video_reader']
    results['frame_inds'] = np.array([100])
    with pytest.raises(IndexError, match='0 to 47'):
        VideoDecode().transform(results)
    with pytest.raises(AssertionError):
        reader._container.seek(0)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='no video backend'):
        VideoInit(backend='cv2')
    with pytest.raises(VideoError, match='does not exist'):
        VideoInit().transform(dict(filename=str(tmp_path / 'none.mp4')))


def test_index_dir(video, tmp_path):
    folder = tmp_path / 'indexes'
    init = TRANSFORMS.build(dict(type='vicmae_mm.VideoInit', index_dir=str(folder)))
    assert f'index_dir={str(folder)!r}' in repr(init)
    frames = []
    for _ in range(2):
        results = init.transform(dict(filename=video))
        frames.append(VideoDecode().transform(results | dict(frame_inds=[30, 3]))['imgs'])
        assert len(list(folder.rglob('*.safetensors'))) == 1
    assert np.array_equal(*frames)
    with pytest.raises(ValueError, match=r"index_dir=.* only works with backend='pyav'"):
        VideoInit('decord', index_dir=str(folder))


def test_registered():
    init = TRANSFORMS.build(dict(type='vicmae_mm.VideoInit', backend='decord'))
    assert repr(init) == "VideoInit(backend='decord', index_dir=None, device='cpu')"
    assert repr(TRANSFORMS.build(dict(type='vicmae_mm.VideoDecode'))) == 'VideoDecode()'


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_mmaction2_sample_frames_for_training(video, backend):
    if backend == 'decord':
        pytest.importorskip('decord')
    pipeline = Compose([VideoInit(backend), SampleFrames(clip_len=4, frame_interval=3,
                                                         num_clips=2), VideoDecode()])
    results = pipeline(dict(filename=video, start_index=0))
    assert len(results['imgs']) == 8
    assert [read_frame_number(i) for i in results['imgs']] == results['frame_inds'].tolist()


def test_k_times_three_views_as_with_mmaction2s_own_decoding(video):
    """7 clips x 3 crops for testing; the same keys and, but for rounding, the same numbers."""
    pytest.importorskip('decord')
    between = SampleFrames(clip_len=4, frame_interval=2, num_clips=7, test_mode=True)
    after = [Resize(scale=(-1, 48)), ThreeCrop(crop_size=48), FormatShape('NCTHW')]
    results = {}
    for init, decode in ((VideoInit(), VideoDecode()), (DecordInit(), DecordDecode())):
        results[type(init)] = Compose([init, between, decode, *after])(
            dict(filename=video, start_index=0))
    ours, theirs = results[VideoInit], results[DecordInit]
    assert set(ours) == set(theirs)
    assert ours['imgs'].shape == (21, 3, 4, 48, 48)
    assert np.abs(ours['imgs'].astype(int) - theirs['imgs']).mean() < 1
    for key in ('total_frames', 'frame_inds', 'img_shape', 'original_shape', 'input_shape'):
        assert np.array_equal(ours[key], theirs[key]), key


def torchcodec_frames(video: str, device: str) -> list[np.ndarray]:
    """Two frames of a video, read by torchcodec on a device."""
    try:
        TorchCodecReader.library()
    except ImportError as error:
        pytest.skip(str(error))
    results = VideoInit('torchcodec', device=device)(dict(filename=video))
    assert isinstance(results['video_reader'], TorchCodecReader)
    return VideoDecode()(dict(results, frame_inds=[30, 3]))['imgs']


def test_device_is_passed_to_torchcodec(video):
    for ours, wanted in zip(torchcodec_frames(video, 'cpu:0'), torchcodec_frames(video, 'cpu'),
                            strict=True):
        assert ours.dtype == np.uint8
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.gpu
def test_frames_of_nvdec_arrive_as_arrays(video):
    for ours, wanted in zip(torchcodec_frames(video, 'cuda'), torchcodec_frames(video, 'cpu'),
                            strict=True):
        assert ours.dtype == np.uint8 and ours.shape == wanted.shape
        assert np.abs(ours.astype(int) - wanted).mean() < 3  # colours are converted by another rule


def test_missing_device_is_not_a_bad_video(video):
    init = VideoInit('torchcodec', device='cuda:99')
    with pytest.raises(RuntimeError, match='num_workers=0 and decode_timeout=None') as info:
        init(dict(filename=video))
    assert not isinstance(info.value, VideoError)


def test_device_needs_torchcodec():
    with pytest.raises(ValueError, match=r"device='cuda'.*'pyav'"):
        VideoInit(device='cuda')


def test_torchcodec_without_ffmpeg_is_not_a_bad_video(video, monkeypatch):
    found_nothing = SimpleNamespace(decoders=None, ffmpeg_major_version=None)
    monkeypatch.setitem(sys.modules, 'torchcodec', found_nothing)
    with pytest.raises(ImportError, match='finds no FFmpeg'):
        VideoInit('torchcodec')(dict(filename=video))
