"""The index, made from shards alone and mapped into memory."""
import pickle
import zipfile

import cv2
import numpy as np
import pytest

from tests.helpers.videos import read_frame_number
from vicmae_mm.datasets.packed.index import FrameTable, build_index, load_index
from vicmae_mm.datasets.packed.shards import ShardError, StoredVideo, read_videos, write_shard

from .conftest import LENGTHS, STORED

SHARDS = ['shard-00000.zip', 'shard-00001.zip', 'shard-00002.zip']


def test_rebuilt_from_the_shards_it_is_the_same(packed):
    before = {name: (packed / name).read_bytes() for name in ('frames.npy', 'index.json')}
    for name in before:
        (packed / name).unlink()
    assert build_index(packed, SHARDS) == load_index(str(packed))
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
    index = load_index(str(packed))
    assert index.num_frames == sum(min(length, STORED) for length in LENGTHS)
    table = FrameTable(str(packed), index.num_frames)
    assert len(pickle.dumps(table)) < 300  # where it is, not what is in it
    rows = pickle.loads(pickle.dumps(table)).rows(0, 3)
    while rows.base is not None and not isinstance(rows, np.memmap):
        rows = rows.base
    assert isinstance(rows, np.memmap)


def test_index_and_frames_must_belong_together(packed):
    np.save(packed / 'frames.npy', np.load(packed / 'frames.npy')[:-1])
    with pytest.raises(ValueError, match=r'run tools/data/pack_frames\.py again'):
        FrameTable(str(packed), load_index(str(packed)).num_frames)


def test_names_of_any_kind(tmp_path):
    path = '../odd "na\nme"\udcff ü.mp4'
    video = StoredVideo(path, 7, 9, (2, 4))
    bad = StoredVideo('x', -1, problem='is empty')
    write_shard(tmp_path / 'a.zip', [], [bad, video], [(), (b'one', b'three')])
    assert read_videos(tmp_path / 'a.zip') == ([], [bad, video])
    index = build_index(tmp_path, ['a.zip'])
    assert [video.path for video in load_index(str(tmp_path)).videos] == [path]
    data = (tmp_path / 'a.zip').read_bytes()
    rows = FrameTable(str(tmp_path), index.num_frames).rows(0, 2).tolist()
    assert [data[at:at + size] for at, size, _, _ in rows] == [b'one', b'three']


@pytest.mark.parametrize('keep', [0, 100, -1])
def test_cut_shards_are_told(packed, keep):
    shard = packed / SHARDS[0]
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(ShardError, match='no whole shard'):
        build_index(packed, SHARDS)
