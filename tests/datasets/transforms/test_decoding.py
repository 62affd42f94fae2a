"""VideoInit and VideoDecode, alone and in mmaction2's pipelines."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmaction.datasets import transforms as stock
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
from vicmae_mm.datasets.readers.seeking_reader import TorchCodecReader
from vicmae_mm.datasets.transforms.decoding import VideoDecode, VideoInit
from vicmae_mm.datasets.transforms.frame_pair import SampleFramePair
from vicmae_mm.datasets.transforms.repeat_aug import RepeatAug
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import UserError


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
        reader.stream.container.seek(0)  # PyAV's word for a closed file


def test_reader_is_closed_when_a_frame_does_not_decode(video):
    results = VideoInit().transform(dict(filename=video))
    reader = results['video_reader']
    results['frame_inds'] = np.array([100])
    with pytest.raises(IndexError, match='0 to 47'):
        VideoDecode().transform(results)
    with pytest.raises(AssertionError):
        reader.stream.container.seek(0)


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
    for wrong in (3, '', ['a']):
        with pytest.raises(ValueError, match='should be the path of a folder, True'):
            VideoInit(index_dir=wrong)


@pytest.mark.parametrize(('settings', 'kept'), [
    ({}, 1), (dict(index_dir=True), 1), (dict(index_dir=None), 0), (dict(index_dir=False), 0)])
def test_indexes_are_kept_in_the_cache_folder_unless_switched_off(
        video, tmp_path, monkeypatch, settings, kept):
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))
    init = VideoInit(**settings)
    init(dict(filename=video))['video_reader'].close()
    assert len(list((tmp_path / 'cache/vicmae_mm/video_indexes').rglob('*.safetensors'))) == kept
    assert init.index_dir == (str(tmp_path / 'cache/vicmae_mm/video_indexes') if kept else None)


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


@pytest.mark.parametrize('decode', [
    stock.DecordDecode, lambda: stock.DecordDecode('efficient'), stock.PyAVDecode,
    lambda: stock.PyAVDecode(multi_thread=True), lambda: stock.PyAVDecode(mode='efficient'),
    stock.OpenCVDecode, stock.PIMSDecode, stock.PyAVDecodeMotionVector])
def test_decoders_of_other_libraries_are_refused_by_name(video, decode):
    pipeline = Compose([VideoInit(), SampleFrames(4), decode()])
    with pytest.raises(UserError, match=r'VideoInit opened .*use vicmae_mm\.VideoDecode'):
        pipeline(dict(filename=video, start_index=0))


@pytest.mark.parametrize('init, reader', [
    (stock.DecordInit, 'VideoReader'), (stock.PyAVInit, 'InputContainer'),
    (stock.OpenCVInit, 'VideoReader')])
def test_readers_of_other_libraries_are_refused_by_name(video, init, reader):
    pipeline = Compose([init(), SampleFrames(4), VideoDecode()])
    with pytest.raises(ValueError, match=rf'another library, [\w.]+\.{reader}\. Put VideoInit'):
        pipeline(dict(filename=video, start_index=0))


def test_decoding_without_opening_or_twice(video):
    results = dict(filename=video, frame_inds=np.array([3]))
    with pytest.raises(ValueError, match='there is nothing open'):
        VideoDecode()(dict(results))
    with pytest.raises(ValueError, match='which no transform has chosen'):
        Compose([VideoInit(), VideoDecode()])(dict(filename=video))
    with pytest.raises(ValueError, match='there is nothing open'):
        Compose([VideoInit(), VideoDecode(), VideoDecode()])(dict(results))


@pytest.mark.parametrize('pipeline', [
    [DecordInit(), VideoInit(), SampleFrames(1), VideoDecode()],  # the last Init counts
    [VideoInit(), DecordInit(), SampleFrames(1), DecordDecode()],
    [DecordInit(), SampleFramePair(), DecordDecode()],
    [VideoInit(), SampleFrames(1), VideoDecode(), stock.BuildPseudoClip(4)]])
def test_mixes_that_work(video, pipeline):
    results = Compose(pipeline)(dict(filename=video, start_index=0))
    assert {read_frame_number(img) for img in results['imgs']} == set(results['frame_inds'])


def test_records_of_raw_frames(video):
    with pytest.raises(ValueError, match='RawframeDataset are read by mmaction'):
        VideoInit()(dict(frame_dir='folder'))
    with pytest.raises(ValueError, match='start_index=1 of the dataset would shift all frames'):
        VideoInit()(dict(filename=video, start_index=1))


@pytest.mark.parametrize('sample', [
    stock.UniformSample(4), stock.UniformSample(4, 3, test_mode=True), stock.DenseSampleFrames(4),
    stock.DenseSampleFrames(4, num_sample_positions=2, test_mode=True),
    stock.UntrimmedSampleFrames(3, clip_interval=5), stock.SampleAVAFrames(4),
    stock.SampleAVAFrames(4, test_mode=True), SampleFrames(4, target_fps=5),
    SampleFrames(4, 1, 2, keep_tail_frames=True), SampleFrames(60, out_of_bound_opt='repeat_last')])
def test_samplers_of_mmaction2(video, sample):
    record = dict(filename=video, start_index=0, fps=25, timestamp=1, timestamp_start=0)
    results = Compose([VideoInit(), sample, VideoDecode()])(record)
    assert [read_frame_number(img) for img in results['imgs']] == results['frame_inds'].tolist()


@pytest.mark.parametrize('proposals', [None, np.array([[.5, .5, 1, 1, .9]])[:, :4]])
def test_boxes_become_pixels_as_with_decord(video, proposals):
    record = dict(filename=video, start_index=0, proposals=proposals,
                  gt_bboxes=np.array([[0, .25, .5, 1], [.1, .2, .3, .4]]))
    results = [Compose([init, SampleFrames(1, test_mode=True), decode])(dict(record))
               for init, decode in ((VideoInit(), VideoDecode()), (DecordInit(), DecordDecode()))]
    repeated = Compose([VideoInit(), RepeatAug(SampleFrames(1, test_mode=True), [])])(dict(record))
    assert results[0]['gt_bboxes'][0].tolist() == [0, 16, 48, 64]
    for name in ('gt_bboxes', 'proposals'):
        for ours in (results[0], *repeated):
            np.testing.assert_array_equal(ours[name], results[1][name])
            assert getattr(ours[name], 'dtype', None) == getattr(results[1][name], 'dtype', None)
    assert record['gt_bboxes'].max() == 1  # the dataset's own


def test_boxes_need_not_be_there_for_proposals(video):
    """As in DecordDecode, proposals alone stay shares."""
    results = Compose([VideoInit(), SampleFrames(1), VideoDecode()])(
        dict(filename=video, start_index=0, proposals=np.array([[.5, .5, 1, 1]])))
    assert results['proposals'].max() == 1
