"""The index, made from shards alone and mapped into memory."""
import io
import json
import pickle
import zipfile
from dataclasses import replace
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from tests.helpers.packing import make_older, pack
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import PackedFrameDataset
from vicmae_mm.datasets.annotations.list_index import make_index
from vicmae_mm.datasets.packed.index import ARRAYS, INDEX_FILE, PackIndex, build_index
from vicmae_mm.datasets.packed.shards import (
    ShardError,
    StoredVideo,
    read_shard,
    write_shard,
)
from vicmae_mm.datasets.packed.storage import RangeReader

from .conftest import LENGTHS, STORED

SHARDS = ['shard-00000.zip', 'shard-00001.zip', 'shard-00002.zip']


def test_rebuilding_from_the_shards_gives_the_same_files(packed):
    before = {name: (packed / name).read_bytes() for name in (*ARRAYS, INDEX_FILE)}
    for name in before:
        (packed / name).unlink()
    built, loaded = build_index(packed, SHARDS), PackIndex(RangeReader(str(packed)))
    assert [*built] == [*loaded] and built.shards == loaded.shards
    assert {name: (packed / name).read_bytes() for name in before} == before


def test_any_program_can_open_a_shard(packed):
    with zipfile.ZipFile(packed / 'shard-00001.zip') as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name.startswith('000000/')]
        assert names == [f'000000/{i:06d}.jpg' for i in range(5)]  # video 3, stored whole
        for name in archive.namelist()[:-1]:
            picture = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
            assert read_frame_number(picture) == int(name[7:13])


def test_memory_is_mapped_not_read(packed):
    index = PackIndex(RangeReader(str(packed)))
    assert len(index.frames) == sum(min(length, STORED) for length in LENGTHS)
    assert len(pickle.dumps(index)) < 300  # where it is, not what is in it
    for name in ('frames', 'source'):
        array = getattr(pickle.loads(pickle.dumps(index)), name)[:3]
        while array.base is not None and not isinstance(array, np.memmap):
            array = array.base
        assert isinstance(array, np.memmap)


def test_records_are_made_when_they_are_read(packed):
    records = PackIndex(RangeReader(str(packed)))
    part = records[4:][::-1]
    assert [*part] == [*records][:3:-1] and part[0]['filename'] == 'b/6.mp4'
    with pytest.raises(IndexError):
        records[7]
    small, large = (len(pickle.dumps(PackedFrameDataset(str(packed), repeat))) for repeat in (
        [], [dict(type='vicmae_mm.VideoDecode')]))
    assert small < large < 5000  # with a list of dicts, 10^6 videos were 100 MB


def test_packs_of_earlier_versions(packed):
    want = [*PackIndex(RangeReader(str(packed)))]
    make_older(packed)
    index = pickle.loads(pickle.dumps(PackIndex(RangeReader(str(packed)))))
    assert [*index] == want and all(video['duration'] for video in index)
    build_index(packed, SHARDS)  # as packing again does
    assert (packed / 'videos.npy').exists() and [*PackedFrameDataset(str(packed)).data_list] == want


@pytest.mark.parametrize('name', ARRAYS)
@pytest.mark.parametrize('change', [
    lambda array, data: as_npy(array[:-1]), lambda array, data: as_npy(array.view(np.int8)),
    lambda array, data: data[:-1], lambda array, data: data[:50], lambda array, data: b''])
def test_the_files_of_an_index_must_be_undamaged_and_match(packed, name, change):
    path = packed / name
    path.write_bytes(change(np.load(path), path.read_bytes()))
    with pytest.raises(ValueError, match=r'frames\.npy.*not an index.*vicmae pack again'):
        PackIndex(RangeReader(str(packed)))


def test_videos_of_another_pack_are_refused(packed):
    videos = [tuple(video.values()) for video in PackIndex(RangeReader(str(packed)))]
    videos[2] = *videos[2][:-1], 99.
    np.save(packed / 'videos.npy', np.frombuffer(make_index(videos).source, np.uint8))
    with pytest.raises(ValueError, match='not an index of packed frames'):
        PackIndex(RangeReader(str(packed)))


def as_npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_an_interrupted_index_does_not_exist(packed):
    with patch.object(json, 'dump', side_effect=KeyboardInterrupt), \
            pytest.raises(KeyboardInterrupt):
        build_index(packed, SHARDS)  # frames.npy is new by now
    with pytest.raises(FileNotFoundError, match='must have finished'):
        PackIndex(RangeReader(str(packed)))


def test_shards_are_in_the_folder_of_their_index(packed):
    path = packed / 'index.json'
    path.write_text(path.read_text().replace('shard-00001.zip', '../shard-00001.zip'))
    with pytest.raises(ValueError, match=r"'\.\./shard-00001\.zip' is not in the same folder"):
        PackIndex(RangeReader(str(packed)))


def test_names_of_any_kind(tmp_path):
    path = '../odd "na\nme"\udcff ü.mp4'
    video = StoredVideo(path, 7, 9, (2, 4))
    bad = StoredVideo('x', -1, problem='is empty')
    write_shard(tmp_path / 'a.zip', [], [bad, video], [(), (b'one', b'three')])
    shard = read_shard(tmp_path / 'a.zip')
    assert (shard.classes, shard.videos) == ([], [bad, video])
    index = build_index(tmp_path, ['a.zip'])
    assert [video['filename'] for video in index] == [path]
    data = (tmp_path / 'a.zip').read_bytes()
    rows = index.frames.tolist()
    assert [data[at:at + size] for at, size, *_ in rows] == [b'one', b'three']


@pytest.mark.parametrize('keep', [0, 100, -1])
def test_truncated_shards_are_refused(packed, keep):
    shard = packed / SHARDS[0]
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(ShardError, match='not a complete shard'):
        build_index(packed, SHARDS)


def test_damaged_shards_are_refused_or_read_the_same(packed):
    path = packed / SHARDS[0]
    data, intact, rng = path.read_bytes(), read_shard(path), np.random.default_rng(0)
    directory, refused = data.index(b'PK\x01\x02'), 0
    for at in rng.integers(directory, len(data), 150):
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        try:
            shard = read_shard(path)
        except ShardError:
            refused += 1
        else:  # a flag, a date, or a checksum, which fails when the frame is read
            assert shard.videos == intact.videos
            assert np.array_equal(shard.frames['offset'], intact.frames['offset'])
    assert 50 < refused < 150


def test_frames_behind_longer_headers_are_not_misread(packed):
    path = packed / SHARDS[0]
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed / 'new.zip', 'w') as new:
        for member in old.infolist():
            longer = zipfile.ZipInfo(member.filename)
            longer.extra = b'\x99\x99\x04\x00abcd'  # as of another program
            new.writestr(longer, old.read(member))
    with pytest.raises(ShardError, match='are not contiguous'):
        read_shard(packed / 'new.zip')


def test_times_of_stored_frames_and_packs_of_older_versions(tmp_path):
    videos = tmp_path / 'videos'
    videos.mkdir()
    make_video(videos / 'a.mp4', 40)
    root = pack(videos, tmp_path / 'packed', frames=4)
    assert np.allclose(PackedFrameDataset(root)[0]['stored_times'], [.2, .6, 1, 1.4])
    assert PackIndex(RangeReader(root))[0]['duration'] == pytest.approx(1.6)
    # Older versions have no times: those that were built then, and those built again.
    make_older(tmp_path / 'packed', times=False)
    record = PackedFrameDataset(root)[0]
    assert 'stored_times' not in record and len(record['video_reader'].get_frames([5, 35])) == 2
    assert PackIndex(RangeReader(root))[0]['duration'] == 0
    shard = tmp_path / 'packed/shard-00000.zip'
    old = [replace(video, times=(), duration=0.) for video in read_shard(shard).videos]
    write_shard(shard, [], old, [[b'jpeg'] * 4])
    build_index(root, [shard.name])
    assert 'stored_times' not in PackedFrameDataset(root)[0]
