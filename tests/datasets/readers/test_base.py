"""Which errors are the file's, and which are the machine's."""
import errno
import os
import pickle

import av
import numpy as np
import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import IndexStore, MachineError, VideoError, base, open_video
from vicmae_mm.datasets.readers.base import is_machines, naming_file
from vicmae_mm.datasets.readers.kept_index import indexed_reader

MACHINE = ('EIO', 'ESTALE', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'ETIMEDOUT',
           'EINTR', 'ENOTCONN', 'EHOSTDOWN', 'EREMOTEIO', 'ENODEV', 'EUCLEAN')
PATH = ('ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG')


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> dict[str, str]:
    """Videos of 60 frames."""
    root = tmp_path_factory.mktemp('videos')
    return {kind: str(make_video(root / f'a.{kind}', 60, **options))
            for kind, options in dict(
                mp4=dict(muxer_options={'movflags': 'faststart'}), mkv={}, ts={},
                avi=dict(codec='mpeg4')).items()}


@pytest.mark.parametrize('name', MACHINE + PATH)
def test_machine_or_file_by_the_number(name):
    number = getattr(errno, name)
    with pytest.raises(VideoError, match=r'^a\.mp4: ') as info, naming_file('a.mp4'):
        raise OSError(number, os.strerror(number))
    assert isinstance(info.value, MachineError) == (name in MACHINE) == is_machines(info.value)
    if name in MACHINE:
        assert info.value.errno == number
        assert str(info.value) == f'a.mp4: could not be read now ({os.strerror(number)})'
        copy = pickle.loads(pickle.dumps(info.value))  # as from a worker process
        assert (copy.errno, str(copy)) == (number, str(info.value))


@pytest.mark.parametrize('error, kind', [
    (MemoryError(), MachineError), (np.exceptions.AxisError('x'), VideoError),
    (av.error.MemoryError(12, 'Cannot allocate memory'), MachineError),
    (av.error.OSError(95, 'Operation not supported'), VideoError),
    (av.error.PatchWelcomeError(1, 'not yet'), VideoError),
    (av.error.UndefinedError(77, 'odd'), VideoError), (ZeroDivisionError('x'), VideoError),
    (OSError('image file is truncated'), VideoError), (ValueError('x'), VideoError)])
def test_errors_of_libraries_name_the_file(error, kind):
    with pytest.raises(VideoError, match=r'^a\.mp4: ') as info, naming_file('a.mp4', 'does not'):
        raise error
    assert type(info.value) is kind


@pytest.mark.parametrize('error', [
    TypeError('x'), KeyError('x'), ImportError('x'), RuntimeError('x'), RecursionError('x')])
def test_bugs_stay_what_they_are(error):
    with pytest.raises(type(error)), naming_file('a.mp4'):
        raise error


@pytest.mark.parametrize('kind', ['mp4', 'mkv', 'ts', 'avi'])
def test_an_error_in_the_middle_is_not_the_end(videos, kind, tmp_path):
    path = videos[kind]
    middle = os.path.getsize(path) // 2
    store = IndexStore(str(tmp_path / 'indexes'))
    with failing_disk(path, errno.EIO, middle):
        for kept in (None, store):
            with pytest.raises(MachineError, match='could not be read now'):
                open_video(path, store=kept)
    assert not (tmp_path / 'indexes').exists(), 'nothing is kept'
    for _ in range(2):
        with failing_disk(path, errno.EIO, middle, times=2), open_video(path, store=store) as video:
            assert video.num_frames == 60


@pytest.mark.parametrize('name', ['ESTALE', 'EIO', 'EACCES', 'EMFILE', 'ENOMEM', 'ENOTCONN'])
def test_files_that_cannot_be_opened_now(videos, name):
    with failing_disk('a.mp4', getattr(errno, name)), pytest.raises(MachineError) as info:
        open_video(videos['mp4'])
    assert info.value.errno == getattr(errno, name)
    with failing_disk('a.mp4', getattr(errno, name), times=2):
        open_video(videos['mp4']).close()


def test_a_frame_that_fails_is_the_machines_fault_too(videos, monkeypatch, tmp_path):
    """With a kept index, packets are read without the container."""
    path, store = videos['mp4'], IndexStore(str(tmp_path))
    open_video(path, store=store).close()
    kept = {file: file.read_bytes() for file in tmp_path.rglob('*.safetensors')}
    assert kept

    def fails(*args):
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(indexed_reader, 'BufferedReader', fails)
    with open_video(path, store=store) as video:
        assert len(video.get_frames([3, 50])) == 2, 'the container is read instead'
    with failing_disk(path, errno.EIO, 1000), open_video(path, store=store) as video, \
            pytest.raises(MachineError):
        video.get_frames([3])
    assert kept == {file: file.read_bytes() for file in tmp_path.rglob('*.safetensors')}


def test_waits_grow(monkeypatch):
    waits, calls = [], []
    monkeypatch.setattr(base.time, 'sleep', waits.append)

    @base.retried
    def fails(number):
        calls.append(number)
        raise OSError(number, 'x')

    with pytest.raises(OSError):
        fails(errno.EIO)
    assert waits == sorted(waits) == [.1, .4, 1.6] and len(calls) == 4
    with pytest.raises(OSError):
        fails(errno.ENOENT)
    assert len(calls) == 5, 'a missing file is not waited for'
