"""Files that libavformat opens, but that are damaged or not quite videos."""
import gc
import os
import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.helpers.videos import make_audio, make_video
from vicmae_mm.commands.preparation.reencode import ReencodeJob, ReencodeSettings, reencode
from vicmae_mm.datasets.readers import (
    MachineError,
    VideoError,
    container,
    open_video,
    pyav_reader,
)
from vicmae_mm.datasets.readers.container import decode_all, demux, upright


def test_unknown_codec(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 3)
    data = path.read_bytes()
    at = data.index(b'avc1', data.index(b'stsd'))
    path.write_bytes(data[:at] + b'zzzz' + data[at + 4:])
    with pytest.raises(VideoError, match='damaged header, or a codec that PyAV does not know'):
        open_video(str(path))


def test_metadata_that_is_not_utf8(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 3)
    path.write_bytes(path.read_bytes().replace(b'VideoHandler', b'Video\xffandler'))
    if hasattr(av.container.InputContainer, 'metadata_errors'):  # before PyAV 19
        with pytest.raises(UnicodeDecodeError):
            av.open(str(path))
    with open_video(str(path)) as reader:
        assert reader.num_frames == 3


def test_cover_picture_is_not_a_video(tmp_path):
    path = tmp_path / 'music.mp4'
    with av.open(str(path), 'w') as out:
        sound = out.add_stream('aac', rate=16000, layout='mono')
        cover = out.add_stream('png', rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, 'rgb24'
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format='fltp', layout='mono')
        silence.sample_rate, silence.pts, picture.pts = 16000, 0, 0
        for stream, frame in ((cover, picture), (sound, silence)):
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    with pytest.raises(VideoError, match='has no video in it, only a cover picture and audio'):
        open_video(str(path))


def test_lost_piece_of_mpeg_ts_is_not_the_end(tmp_path):
    path = make_video(tmp_path / 'a.ts', 40, size=(128, 96))
    data = path.read_bytes()
    path.write_bytes(data[:188 * 20] + data[188 * 21:])
    with av.open(str(path)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
        assert any(packet.is_corrupt for packet in packets[:-1])
    with av.open(str(path)) as opened:
        expected = sum(1 for _ in opened.decode(video=0))
    with open_video(str(path)) as reader:
        assert reader.num_frames == expected


@pytest.mark.parametrize('error', [av.error.InvalidDataError, av.error.OSError])
def test_error_while_reading(error):
    """A video ends where its content is damaged; a failing disk is an error."""
    def failing(stream):
        yield SimpleNamespace(size=1, is_corrupt=False)
        raise error(5, 'no more')

    packets = demux(SimpleNamespace(
        demux=failing, file=SimpleNamespace(file=container._SourceFile(os.devnull))), None, 'a.mp4')
    assert next(packets).size == 1
    if error is av.error.InvalidDataError:
        assert list(packets) == []
    else:
        with pytest.raises(VideoError, match=r'a\.mp4: cannot be read \(no more\)'):
            next(packets)


@pytest.mark.parametrize('matrix', ['YCgCo', 'bt2020c', 'smpte2085', 'chroma-derived-nc', 'ICtCp'])
def test_a_colour_matrix_that_swscale_does_not_know_counts_as_untagged(tmp_path, matrix):
    tagged, plain = (make_video(tmp_path / f'{tag}.mp4', 4, options={
        'x264-params': f'colormatrix={tag}'}) for tag in (matrix, 'undef'))
    with av.open(str(tagged)) as opened, pytest.raises(av.error.OSError):
        next(opened.decode(video=0)).to_ndarray(format='rgb24')
    with open_video(str(tagged)) as one, open_video(str(plain)) as other:
        assert np.array_equal(one.get_frames([0, 3]), other.get_frames([0, 3]))
    results = [tmp_path / f'new {path.name}' for path in (tagged, plain)]
    for path, result in zip((tagged, plain), results, strict=True):
        assert not reencode(ReencodeJob(str(path), str(result), ReencodeSettings())).problem
    assert results[0].read_bytes() == results[1].read_bytes()


@pytest.mark.parametrize('error', [
    av.error.OSError(95, 'Operation not supported'), MemoryError(), ValueError('no such format')])
def test_a_picture_that_cannot_be_converted_names_its_file(tmp_path, monkeypatch, error):
    def fails(frame):
        raise error

    path = str(make_video(tmp_path / 'a.mp4', 4))
    monkeypatch.setattr(pyav_reader, 'upright', fails)
    with open_video(path) as video, pytest.raises(VideoError, match=r'a\.mp4: ') as info:
        video.get_frames([0])
    assert isinstance(info.value, MachineError) == isinstance(error, MemoryError)


def test_a_playlist_must_not_lead_to_the_network(tmp_path):
    path, guests = tmp_path / 'a.m3u8', []

    def serve():
        with suppress(OSError):  # once it is closed
            while True:
                guests.append(server.accept()[0])
                guests[-1].close()

    with socket.create_server(('127.0.0.1', 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        url = f'http://127.0.0.1:{server.getsockname()[1]}/a.ts'
        path.write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n')
        with pytest.raises(VideoError, match='is not a video'):
            open_video(str(path))
        server.shutdown(socket.SHUT_RDWR)
    assert not guests


def test_files_are_closed(tmp_path):
    good, text = make_video(tmp_path / 'a.mp4', 4), tmp_path / 'text.mp4'
    text.write_text('no video')
    open_files = len(os.listdir('/proc/self/fd'))
    errors = []
    for path in (good, text, make_audio(tmp_path / 'sound.mp4')):
        try:
            open_video(str(path)).close()
        except VideoError as error:
            errors.append(error)  # with its traceback
    assert len(errors) == 2 and len(os.listdir('/proc/self/fd')) == open_files


def test_a_frame_is_not_held_once_it_is_converted(tmp_path):
    """The decoder's next frames would come from other buffers than in a plain decode."""
    path = str(make_video(tmp_path / 'a.mp4', 20))
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
        for frame in decode_all(path):
            upright(frame)
        del frame
        after = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
