"""decord and torchcodec return what PyAV does, or hand the video over to it."""
import av
import pytest
from av.stream import Disposition

from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets.readers import MachineError, factory, open_video, seeking_reader
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader
from vicmae_mm.datasets.readers.seeking_reader import SeekingReader


@pytest.fixture(params=['decord', 'torchcodec'])
def backend(request) -> str:
    try:
        factory.BACKENDS[request.param].library()
    except ImportError as error:
        pytest.skip(str(error))
    return request.param


@pytest.mark.parametrize('error', [RuntimeError('[12:30:07] a.cc:1: no'), ValueError('rows')])
def test_pyav_takes_over_from_the_first_failure(tmp_path, monkeypatch, backend, said, error):
    path, reads = str(make_video(tmp_path / 'a.mp4', 20)), []

    def fail(self, wanted):
        reads.append(wanted)
        raise error

    with open_video(path, backend) as reader:
        assert isinstance(reader, SeekingReader)
        assert read_frame_number(reader.get_frames([3])[0]) == 3
        monkeypatch.setattr(type(reader), '_read', fail)
        for wanted in ([17, 4, 17], [2]):
            frames = reader.get_frames(wanted)
            assert [read_frame_number(frame) for frame in frames] == wanted
        assert reads == [[4, 17]]
    reader.close()
    assert said == [f'{path}: {backend} cannot decode all of its frames: PyAV reads it instead of '
                    f'{backend}. (Each data-loading process reports only its first file of this '
                    'kind.)']


def test_error_of_the_machine_is_not_the_end_of_the_video(tmp_path, monkeypatch, backend):
    path = str(make_video(tmp_path / 'a.mp4', 20))

    def gone(path):
        raise MachineError(path, 'could not be read now (Stale file handle)')

    with open_video(path, backend) as reader:
        monkeypatch.setattr(type(reader), '_read', lambda self, wanted: [])
        monkeypatch.setattr(seeking_reader, 'PyAVReader', gone)
        with pytest.raises(MachineError, match='Stale file handle'):
            reader.get_frames([3])


@pytest.mark.parametrize('flagged', [range(30), range(0, 30, 7), [12]])
@pytest.mark.parametrize('muxer_options', [
    {}, {'movflags': 'frag_every_frame+empty_moov'}, {'movflags': 'frag_keyframe+empty_moov'}])
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv'])
def test_keyframes_of_the_container_that_are_none(tmp_path, backend, flagged, muxer_options,
                                                  suffix):
    """libavformat itself corrects the flags of H.264 packets, but not where it seeks to."""
    source = make_video(tmp_path / 'source.mp4', 30, gop=25)
    path = str(tmp_path / f'flagged{suffix}')
    with av.open(str(source)) as inp, av.open(path, 'w', options=muxer_options) as out:
        copy = out.add_stream_from_template(inp.streams.video[0])
        packets = [packet for packet in inp.demux(inp.streams.video[0]) if packet.size]
        for i, packet in enumerate(packets):
            packet.is_keyframe, packet.stream = i == 0 or i in flagged, copy
            out.mux(packet)
    for number in (29, 3, 13):
        with open_video(path, backend) as reader:
            assert isinstance(reader, PyAVReader)
            assert read_frame_number(reader.get_frames([number])[0]) == number


@pytest.mark.parametrize(('suffix', 'flags', 'shown'), [
    ('.mkv', (1, 0), 0), ('.mkv', (0, 1), 1), ('.mkv', (0, 0), 0), ('.mkv', (1, 1), 0),
    ('.mp4', (1, 0), 0), ('.mp4', (0, 1), 1)])
def test_stream_that_players_show(tmp_path, backend, suffix, flags, shown):
    """FFmpeg's own choice, which the libraries make, is the larger picture: the second here."""
    sizes, numbers = [(64, 48), (128, 96)], [5, 15]
    path = str(tmp_path / f'two{suffix}')
    with av.open(path, 'w') as out:
        inputs = [av.open(str(make_video(tmp_path / f'{i}.mp4', 10 + 10 * i, size)))
                  for i, size in enumerate(sizes)]
        copies = [out.add_stream_from_template(inp.streams.video[0]) for inp in inputs]
        for copy, flag in zip(copies, flags, strict=True):
            copy.disposition = Disposition.default if flag else 0
        for inp, copy in zip(inputs, copies, strict=True):
            for packet in inp.demux(inp.streams.video[0]):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
            inp.close()
    with av.open(path) as container:
        assert [stream.disposition for stream in container.streams.video] == list(flags)
    for way in ('pyav', backend):
        with open_video(path, way) as reader:
            assert reader.num_frames == 10 + 10 * shown
            frame = reader.get_frames([numbers[shown]])[0]
        assert frame.shape[1::-1] == sizes[shown] and read_frame_number(frame) == numbers[shown]
