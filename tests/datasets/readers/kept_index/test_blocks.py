"""Indexes of long videos, which are read in blocks: here of a few packets."""
import os

import numpy as np
import pytest
from safetensors.numpy import load

from tests.helpers.video_cases import CASES
from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import VideoError, open_video, pyav_reader
from vicmae_mm.datasets.readers.kept_index import index_file
from vicmae_mm.datasets.readers.kept_index.indexed_reader import IndexedReader

from .kept import is_indexed, kept_file, numbers, rewrite


@pytest.fixture(autouse=True)
def _few_packets(monkeypatch):
    monkeypatch.setattr(index_file, 'BLOCK', 4)


def num_blocks(store) -> int:
    return len(load(kept_file(store).read_bytes())['blocks']) - 1


@pytest.mark.parametrize('name', [
    'all_intra', 'open_gop', 'edit_list', 'vfr_mkv', 'mkv_without_length', 'fragmented', 'webm_vp9',
    'hevc', 'intra_refresh', 'joined_alike', 'long_gop'])
def test_frames_of_all_blocks_are_those_of_the_container(name, tmp_path, store, monkeypatch):
    path = str(CASES[name](tmp_path))
    with open_video(path, store=store) as plain:
        truth = plain.get_frames(range(plain.num_frames))
    opened = []
    monkeypatch.setattr(pyav_reader, 'open_container', opened.append)
    order = np.random.default_rng(0).permutation(len(truth))
    for wanted in [[i] for i in order.tolist()] + [order[:5].tolist(), order.tolist()]:
        with open_video(path, store=store) as reader:
            assert isinstance(reader, IndexedReader) and reader.num_frames == len(truth)
            frames = reader.get_frames(wanted)
        assert all(np.array_equal(frame, truth[i]) for i, frame in zip(wanted, frames, strict=True))
    assert not opened
    assert num_blocks(store) > 1 or name in ('open_gop', 'edit_list', 'hevc', 'long_gop',
                                             'intra_refresh')


def test_packets_that_a_later_block_would_need_are_in_one_block(tmp_path, store):
    """B-frames that lead an open GOP refer to the frames before its keyframe."""
    path = str(CASES['open_gop'](tmp_path))
    open_video(path, store=store).close()
    assert num_blocks(store) == 1


@pytest.mark.parametrize('change', [
    None, dict(size=999999), dict(size=0), dict(position=-1), dict(position=2**40), dict(kind=2)])
def test_a_later_block_that_is_damaged_or_forged(video, store, change):
    open_video(video, store=store).close()
    assert num_blocks(store) == 4
    data = kept_file(store).read_bytes()
    content = load(data)
    begin = content['blocks'][3, 0]
    if change is None:
        at = data.index(content['position'][begin:].tobytes())
        kept_file(store).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    else:
        (name, value), = change.items()
        content[name][begin:] = value
        rewrite(store, **{name: content[name]})
    with open_video(video, store=store) as reader:
        assert isinstance(reader, IndexedReader)
        assert reader.get_frames([3]) and reader._fallback is None
        assert reader.get_frames([3, 39]) and reader._fallback is not None
    assert not is_indexed(video, store)
    assert kept_file(store).read_bytes() == data
    assert numbers(video, store) == [30, 7, 39]


@pytest.mark.parametrize('forged', [False, True])
def test_times_that_are_damaged(video, store, forged):
    open_video(video, store=store).close()
    times = load(kept_file(store).read_bytes())['times']
    data = kept_file(store).read_bytes()
    if forged:
        rewrite(store, times=times[::-1].copy())
    else:
        at = data.index(times[1:].tobytes())
        kept_file(store).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    with open_video(video, store=store) as reader:
        assert isinstance(reader, IndexedReader)
        assert reader.frame_times.tolist() == times.tolist()
    assert not is_indexed(video, store)
    assert kept_file(store).read_bytes() == data


@pytest.mark.parametrize('blocks', [
    [[0, 0], [40, 41]], [[1, 0], [40, 40]], [[0, 0], [50, 20], [40, 40]],
    [[0, 0], [9, 41], [40, 40]], [[0, 0]], [[0, 0, 0], [40, 40, 40]], [[0, 0], [2**62, 40]]])
def test_forged_blocks(video, store, blocks):
    open_video(video, store=store).close()
    good = kept_file(store).read_bytes()
    rewrite(store, blocks=np.array(blocks))
    for _ in range(2):
        assert numbers(video, store) == [30, 7, 39]
    assert kept_file(store).read_bytes() == good, 'made again'


def test_damage_in_the_middle_keeps_the_index(tmp_path, store):
    """Or each later opening of the recording would scan it again."""
    path = make_video(tmp_path / 'a.mp4', 40, gop=10, bframes=0)
    open_video(str(path), store=store).close()
    content = load(kept_file(store).read_bytes())
    state = path.stat()
    data = bytearray(path.read_bytes())
    for i in range(20, 30):
        begin = content['position'][i]
        data[begin:begin + content['size'][i]] = b'\xff' * content['size'][i]
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    for _ in range(2):
        assert numbers(str(path), store, [3, 39]) == [3, 39] and is_indexed(str(path), store)
        with pytest.raises(VideoError, match='only 20 frames decode'):
            numbers(str(path), store, [25])
