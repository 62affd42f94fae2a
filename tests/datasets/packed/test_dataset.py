"""PackedFrameDataset: the right frames, the same randomness as of videos, bad ones skipped."""
import copy
import errno
import os
import pickle
import sys
from unittest.mock import patch

import fsspec
import numpy as np
import pytest

from tests.datasets.helpers import PACK, epoch_of, ledger_lines, loader
from tests.helpers.videos import read_frame_number
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex, TooManyBadVideosError
from vicmae_mm.datasets.packed.index import build_index
from vicmae_mm.datasets.packed.shards import StoredVideo, write_shard
from vicmae_mm.datasets.readers import MachineError, VideoError, base

from .conftest import LENGTHS, STORED

READ = [dict(type='vicmae_mm.SampleFramePair'), dict(type='vicmae_mm.VideoDecode')]


def build(root, **kwargs) -> PackedFrameDataset:
    return PackedFrameDataset(str(root), **{'pipeline': READ, 'max_bad_share': 1, **kwargs})


def numbers(sample) -> list[int]:
    return [read_frame_number(image) for image in sample['imgs']]


def corrupt(path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 255
    path.write_bytes(data)


def test_records(packed):
    dataset = build(packed, pipeline=[])
    assert len(dataset) == 7 and dataset.metainfo['classes'] == ['a class', 'b']
    for i, length in enumerate(LENGTHS):
        record = dataset[SampleIndex(i, 0, 0)]
        assert record['filename'] == f'{"a class" if i < 4 else "b"}/{i}.mp4'
        assert (record['label'], record['sample_idx']) == (int(i > 3), i)
        assert (record['modality'], record['start_index']) == ('RGB', 0)
        assert record['total_frames'] == length
        assert len(record['stored_frames']) == min(length, STORED)
    assert dataset.get_cat_ids(4) == [1] and len(build(packed, indices=[5, 6])) == 2
    few = build(packed, indices=[5], pipeline=[])  # a list of records, which reading leaves whole
    assert [few[0]['total_frames'] for _ in range(2)] == [LENGTHS[5]] * 2


def test_stored_frames_keep_their_numbers(packed):
    dataset = build(packed, pipeline=[])
    for i in range(len(LENGTHS)):
        record = dataset[i]
        stored = record['stored_frames'].tolist()
        frames = record['video_reader'].get_frames([*stored, stored[0]])
        assert [read_frame_number(frame) for frame in frames] == [*stored, stored[0]]
        frames[0][:] = 0  # repeats do not share memory
        assert frames[-1].any()


@pytest.mark.parametrize('sampling', [
    dict(), dict(num_pairs=3), dict(max_gap=12), dict(num_frames=1), dict(num_sections=4),
    dict(mode='continuous', delta=6), dict(mode='continuous', delta=0)])
def test_pairs(packed, sampling):
    dataset = build(packed, pipeline=[dict(type='vicmae_mm.SampleFramePair', **sampling), READ[1]])
    for i in range(len(LENGTHS)):
        sample = dataset[SampleIndex(i, 0, 0)]
        assert numbers(sample) == sample['frame_inds'].tolist()
        assert set(sample['frame_inds'].tolist()) <= set(sample['stored_frames'].tolist())


def test_frames_that_are_not_stored(packed):
    dataset = build(packed, pipeline=[])
    with pytest.raises(ValueError, match=r'frame 0 was requested.*SampleFramePair'):
        dataset[0]['video_reader'].get_frames([0])
    with pytest.raises(IndexError, match='0 to 39'):
        dataset[0]['video_reader'].get_frames([40])
    pipeline = [dict(type='vicmae_mm.SampleFramePair', mode='continuous', delta=2), READ[1]]
    with pytest.raises(ValueError, match=r'Pack more.*--every'):
        build(packed, pipeline=pipeline)[SampleIndex(0, 0, 0)]


def test_samples_depend_on_seed_epoch_and_index_alone(packed):
    config = dict(type='vicmae_mm.PackedFrameDataset', data_root=str(packed), pipeline=READ + PACK)
    first = epoch_of(loader(config), 0)
    assert epoch_of(loader(config, workers=2), 0) == first != epoch_of(loader(config), 1)
    by_index = {sample[1]: sample for sample in first}
    index = SampleIndex(2, 0, 0)
    views = build(packed, pipeline=READ + PACK)[index]['inputs']
    assert tuple(view.numpy().tobytes() for view in views) == by_index[2][2:]


def test_copies_and_pickles_give_the_same_frames(packed):
    dataset = build(packed)
    want = dataset[SampleIndex(1, 0, 0)]
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert np.array_equal(other[SampleIndex(1, 0, 0)]['imgs'], want['imgs'])


@pytest.mark.parametrize('where', ['picture', 'name', 'shard gone', 'shard cut'])
def test_damage_is_skipped_and_recorded(packed, tmp_path, where):
    dataset = build(packed, pipeline=[])
    frames = dataset[3]['video_reader']._frames
    shard = packed / 'shard-00001.zip'
    if where == 'picture':
        for row in frames:
            corrupt(shard, row['offset'] + row['size'] // 2)
    elif where == 'name':  # of no importance to reading
        corrupt(shard, frames['offset'][0] - 2)
    elif where == 'shard gone':
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:frames['offset'][0] + 10])
    bad = {'picture': {3}, 'name': set()}.get(where, {3, 4, 5})
    with patch('vicmae_mm.datasets.packed.dataset.print_log') as log:
        dataset = build(packed)
    assert bool(log.call_args_list) == where.startswith('shard')
    dataset.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
    for i in range(len(LENGTHS)):
        sample = dataset[SampleIndex(i, 0, 0)]
        assert (sample['sample_idx'] == i) == (i not in bad) and sample['sample_idx'] not in bad
    if bad:
        lines = ledger_lines(tmp_path / 'bad_videos.jsonl')
        names = {line['path'] for line in lines}
        assert names == {f'{"a class" if i < 4 else "b"}/{i}.mp4' for i in bad}
        assert all('shard-00001.zip' in line['reason'] for line in lines)
        again = build(packed)
        again.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
        assert len(again.bad_videos) == 0  # the shard may have been repaired
        with pytest.raises(VideoError, match=r'shard-00001\.zip'):
            build(packed, test_mode=True)[3]
        with pytest.raises(TooManyBadVideosError, match=r'Copy the shards again.*max_bad_share'):
            build(packed, max_bad_share=0)[3]


def test_object_storage(packed, monkeypatch):
    monkeypatch.setattr(base, 'RETRY_WAITS', (0, 0))
    memory = fsspec.filesystem('memory')
    memory.put(str(packed), '/bucket/packed', recursive=True)
    try:
        local, remote = build(packed), build('memory://bucket/packed')
        for i in range(len(LENGTHS)):
            one, other = (dataset[SampleIndex(i, 0, 0)]['imgs'] for dataset in (local, remote))
            assert np.array_equal(one, other)
        with patch.object(type(memory), 'cat_ranges', side_effect=LookupError('connection lost')):
            with pytest.raises(VideoError, match='LookupError: connection lost'):
                build('memory://bucket/packed', test_mode=True)[0]
        memory.rm('/bucket/packed/shard-00000.zip')
        with pytest.raises(VideoError, match=r'shard-00000\.zip'):
            build('memory://bucket/packed', test_mode=True)[0]
        with pytest.raises(FileNotFoundError, match='no packed frames'):
            build('memory://bucket/elsewhere')
    finally:
        memory.rm('/bucket', recursive=True)


def test_wrong_or_missing_data(packed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'adlfs', None)  # as if it were not installed
    with pytest.raises(FileNotFoundError, match=r'no packed frames.*vicmae pack'):
        build(tmp_path / 'nowhere')
    with pytest.raises(ImportError, match='adlfs'):
        build('abfs://bucket/packed')
    with pytest.raises(ValueError, match=r'should be in \[0, 1\]'):
        build(packed, max_bad_share=2)
    for shard in packed.glob('*.zip'):
        shard.write_bytes(b'')
    with pytest.raises(FileNotFoundError, match='None of the 3 shards'):
        build(packed)
    (packed / 'index.json').write_text('{"videos": 3')
    with pytest.raises(ValueError, match='not an index of packed frames'):
        build(packed)
    write_shard(packed / 'a.zip', [], [StoredVideo('x', 1, problem='is empty')], [()])
    build_index(packed, ['a.zip'])
    with pytest.raises(ValueError, match=r'contains no video.*bad_videos\.jsonl'):
        build(packed)


@pytest.mark.parametrize('times', [1, 100])
def test_a_machine_that_fails_to_read_a_shard(packed, monkeypatch, times):
    read, left = os.pread, [times]

    def fails(*args):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(*args)

    monkeypatch.setattr(base, 'RETRY_WAITS', (0, 0))
    monkeypatch.setattr(os, 'pread', fails)
    dataset = build(packed, test_mode=True)
    if times == 1:
        assert dataset[0]['imgs']
    else:
        with pytest.raises(MachineError, match='Stale file handle'):
            dataset[0]
