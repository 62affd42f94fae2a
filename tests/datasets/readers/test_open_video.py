"""Choosing a backend, and a clear reason for everything that can be wrong with a file."""
import os
import pickle
import sys

import cv2
import numpy as np
import pytest

from tests.helpers.videos import make_audio, make_video, read_frame_number
from vicmae_mm.datasets.readers import VideoError, factory, messages, open_video


def test_unknown_backend():
    with pytest.raises(ValueError, match="no video backend 'opencv', only 'pyav', 'torchcodec'"):
        open_video('a.mp4', 'opencv')


@pytest.mark.parametrize(('backend', 'module', 'package'), [
    ('pyav', 'av', 'pip install av'), ('decord', 'decord', 'pip install decord'),
    ('torchcodec', 'torchcodec', 'pip install torchcodec'), ('decord', 'av', 'pip install av')])
def test_missing_package_is_named(tmp_path, monkeypatch, backend, module, package):
    if module == 'av' and backend == 'decord':
        pytest.importorskip('decord')
    path = make_video(tmp_path / 'a.mp4', 2)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=package):
        open_video(str(path), backend)


PNG = cv2.imencode('.png', np.zeros((32, 32, 3), np.uint8))[1].tobytes()
BAD_FILES = {
    'empty.mp4': (b'', 'is empty'),
    'zeros.mp4': (bytes(20000), 'is not a video'),
    'noise.mp4': (np.random.default_rng(0).bytes(20000), 'is not a video'),
    'text.mp4': (b'hello\n' * 500, 'is not a video'),
    'text.txt': (b'hello\n' * 500, 'is not a video'),
    'page.mp4': (b'<!DOCTYPE html><html><body>404 Not Found</body></html>', 'is not a video'),
    'list.mp4': (b"ffconcat version 1.0\nfile 'a.mp4'\n", 'is not a video'),
    'list.m3u8': (b'#EXTM3U\n#EXTINF:10,\na.mp4\n#EXT-X-ENDLIST\n', 'is not a video'),
    'picture.mp4': (PNG, 'is not a video'),
    'titles.srt': (b'1\n00:00:01,000 --> 00:00:02,000\nhi\n', 'has no video in it, only subtitle'),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_files_that_are_not_videos(tmp_path, name):
    content, reason = BAD_FILES[name]
    make_video(tmp_path / 'a.mp4', 2)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoError) as caught:
        open_video(str(path))
    error = caught.value
    assert error.path == str(path) and error.reason.startswith(reason)
    assert str(error) == f'{path}: {error.reason}' and '\n' not in str(error)


def test_no_such_file_and_folder(tmp_path):
    with pytest.raises(VideoError, match='does not exist'):
        open_video(str(tmp_path / 'a.mp4'))
    with pytest.raises(VideoError, match='is a folder'):
        open_video(str(tmp_path))


def test_audio_only(tmp_path):
    with pytest.raises(VideoError, match='has no video in it, only audio'):
        open_video(str(make_audio(tmp_path / 'a.mp4')))


@pytest.mark.parametrize('kept', ['half', 'header'])
def test_cut_off_before_any_frame(tmp_path, kept):
    path = make_video(tmp_path / 'a.mp4', 20, muxer_options={
        'movflags': 'faststart'} if kept == 'header' else None)
    data = path.read_bytes()
    path.write_bytes(data[:data.index(b'mdat') + 4] if kept == 'header' else data[:len(data) // 2])
    with pytest.raises(VideoError, match='no frames' if kept == 'header' else 'is not a video'):
        open_video(str(path))


def test_error_survives_being_sent_by_a_worker():
    error = pickle.loads(pickle.dumps(VideoError('a b.mp4', 'is empty')))
    assert (error.path, error.reason, str(error)) == ('a b.mp4', 'is empty', 'a b.mp4: is empty')


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
@pytest.mark.parametrize('name', [
    'with space.mp4', 'ünï 中文.mp4', 'a:b.mp4', 'http:a.mp4', '50%20.mp4', '-x.mp4', "q'u.mp4",
    os.fsdecode(b'not-utf8-\xff.mp4')])
def test_any_file_name(tmp_path, monkeypatch, name, backend):
    if backend == 'decord':
        pytest.importorskip('decord')
    monkeypatch.setattr(messages, 'print_log', lambda *args, **kwargs: None)
    folder = tmp_path / 'a folder'
    folder.mkdir()
    os.rename(make_video(tmp_path / 'a.mp4', 4), folder / name)
    monkeypatch.chdir(folder)
    for path in (name, str(folder / name)):
        with open_video(path, backend) as reader:
            assert read_frame_number(reader.get_frames([3])[0]) == 3


def test_decord_never_sees_mpeg_ts(tmp_path, monkeypatch, said):
    """decord 0.6 never returns from some of them."""
    pytest.importorskip('decord')
    monkeypatch.setattr(factory.DecordReader, '__init__', lambda *args: pytest.fail('opened it'))
    with open_video(str(make_video(tmp_path / 'a.ts', 20)), 'decord') as reader:
        assert read_frame_number(reader.get_frames([13])[0]) == 13
    assert any('PyAV reads it instead of decord' in text for text in said)


def test_backend_that_miscounts_is_not_used(tmp_path, monkeypatch):
    pytest.importorskip('decord')
    path = str(make_video(tmp_path / 'a.mp4', 20))
    init = factory.DecordReader.__init__

    def miscount(self, path):
        init(self, path)
        self.num_frames += 1

    monkeypatch.setattr(factory.DecordReader, '__init__', miscount)
    with open_video(path, 'decord') as reader:
        assert reader.num_frames == 20


def test_what_decord_opens_but_cannot_convert_is_read_by_pyav(tmp_path):
    pytest.importorskip('decord')
    path = str(make_video(tmp_path / 'narrow.mp4', 4, size=(48, 48)))
    with open_video(path, 'decord') as reader:
        assert [read_frame_number(frame) for frame in reader.get_frames(range(4))] == [0, 1, 2, 3]
