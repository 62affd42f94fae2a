"""Random videos, made as in tests/helpers/fuzz_videos.py: no backend returns a wrong frame.

``VICMAE_FUZZ=500 python -m pytest -n auto tests/datasets/readers/test_fuzz.py`` makes 500 of them;
``VICMAE_FUZZ=500-600`` makes those with these seeds.
"""
import multiprocessing
import os
import random
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.fuzz_videos import FuzzVideo, make_fuzz_video
from vicmae_mm.datasets.readers import IndexStore, VideoError, open_video
from vicmae_mm.datasets.readers.container import decode_all
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader
from vicmae_mm.datasets.readers.seeking_reader import TorchCodecReader

FIRST, _, LAST = os.environ.get('VICMAE_FUZZ', '0').rpartition('-')
TOLERANCE = 12  # mean difference of a picture converted by two libraries; other frames: over 25
REQUESTS = 6
TIME_LIMIT = 120  # seconds for one video
KNOWN = {378: 'damaged: all keyframes but the first are lost, so frames come out in another order'}


@pytest.mark.slow
@pytest.mark.skipif(LAST == '0', reason='VICMAE_FUZZ does not say how many videos to make')
@pytest.mark.skipif(not shutil.which('ffmpeg'), reason='needs the ffmpeg program')
@pytest.mark.parametrize('seed', [
    pytest.param(seed, marks=pytest.mark.xfail(reason=KNOWN[seed]) if seed in KNOWN else ())
    for seed in range(int(FIRST or 0), int(LAST))])
def test_no_backend_returns_a_wrong_frame(tmp_path, seed):
    video = make_fuzz_video(tmp_path, seed)
    # In a process of its own: as in training, a file may crash or hang a decoder.
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context('fork').Process(
        target=lambda: send.send(problems(video, tmp_path / 'indexes', seed)))
    process.start()
    send.close()
    try:
        found = receive.recv() if receive.poll(TIME_LIMIT) else ['the process hangs']
    except EOFError:
        found = ['the process crashed']
    process.kill()
    process.join()
    assert not found, '\n'.join([*found, *video.recipe])


def problems(video: FuzzVideo, indexes: Path, seed: int) -> list[str]:
    """What is wrong with the answers of every backend, each request with a new reader."""
    path, truth, rng = str(video.path), decode_in_order(video), random.Random(seed)
    defined = same_whichever_buffers_are_free(video, truth)
    store = IndexStore(str(indexes))
    ways = [('pyav', None), ('pyav', store), ('pyav', store), ('decord', None)]
    if has_torchcodec():
        ways.append(('torchcodec', None))
    found: list[str] = []
    if not (all(defined) or video.damaged or refused_by_a_strict_decoder(path)):
        found.append('two decodes in order differ')
    for backend, kept in ways:
        for _ in range(REQUESTS):
            wanted = rng.choices(range(len(truth) or 1), k=rng.choice((1, 2, 3)))
            try:
                with open_video(path, backend, store=kept) as reader:
                    # Whether packets after damage decode is not known before they are decoded.
                    surplus = reader.num_frames - len(truth)
                    if surplus < 0 or (surplus and not video.damaged):
                        found.append(f'{backend}: {reader.num_frames} frames, not {len(truth)}')
                        break
                    frames = reader.get_frames(wanted)
                    exact = isinstance(reader, PyAVReader)
            except VideoError as error:
                if truth:
                    found.append(f'{backend}: {error.reason}')
                continue
            if not truth:  # another library may make up something for damage
                found += [f'{backend}: frames of a video that does not decode'] * exact
                continue
            found += [f'{backend}{" with an index" * (kept is not None)}: frame {i} is wrong '
                      f'({difference(frame, truth[i]):.1f})'
                      for i, frame in zip(wanted, frames, strict=True)
                      if defined[i] and not is_frame(frame, i, truth, exact, video.damaged)]
    return list(dict.fromkeys(found))


def is_frame(frame: np.ndarray, i: int, truth: list[np.ndarray], exact: bool,
             damaged: bool) -> bool:
    """Whether a picture is frame ``i`` and no other."""
    distance = difference(frame, truth[i])
    if exact:
        return distance == 0
    # Where bits are missing, another library makes up other pixels.
    return distance == min(difference(frame, other) for other in truth) and (
        damaged or distance <= TOLERANCE)


def decode_in_order(video: FuzzVideo, held: bool = False) -> list[np.ndarray]:
    """The frames of a plain decode; if the video is damaged, of the project's reference.

    Args:
        held: Keep the decoder's frames until the last one is decoded.
    """
    path = str(video.path)
    collect = list if held else iter
    if not video.damaged:
        try:
            with av.open(path) as container:
                streams = [stream for stream in container.streams.video
                           if not stream.disposition & av.stream.Disposition.attached_pic]
                default = [stream for stream in streams
                           if stream.disposition & av.stream.Disposition.default]
                chosen = (default or streams)[0]
                chosen.thread_count = 1
                return [upright(frame) for frame in collect(container.decode(chosen))]
        except (av.FFmpegError, IndexError):
            video.damaged = True  # by a cut or a filter
    try:
        return [upright(frame) for frame in collect(decode_all(path))]
    except VideoError:
        return []


def refused_by_a_strict_decoder(path: str) -> bool:
    """Whether packets do not fit to each other, as those of videos joined under one header."""
    strict = list(decode_all(path, err_detect='explode'))
    return len(strict) < sum(1 for _ in decode_all(path)) or any(f.is_corrupt for f in strict)


def same_whichever_buffers_are_free(video: FuzzVideo, truth: list[np.ndarray]) -> list[bool]:
    """For each frame, whether libavcodec decodes it to the same pixels every time.

    Of frames in which it finds errors, it leaves some pixels as they were in the buffer it happens
    to use.
    """
    return [np.array_equal(one, other)
            for one, other in zip(truth, decode_in_order(video, held=True), strict=True)]


def upright(frame: av.VideoFrame) -> np.ndarray:
    """The picture of a frame, rotated as ffmpeg writes it: by an angle counter-clockwise."""
    return np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures; 255 if their sizes differ."""
    return np.abs(one.astype(int) - other).mean() if one.shape == other.shape else 255.


def has_torchcodec() -> bool:
    try:
        TorchCodecReader.library()
    except ImportError:
        return False
    return True
