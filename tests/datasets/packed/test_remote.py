"""Packed frames in object storage: copies on this machine, and faults of storage and network."""
import errno
import os
import pickle
import time
from pathlib import Path
from unittest.mock import patch

import fsspec
import numpy as np
import pytest

from tests.datasets.helpers import PACK, epoch_of, loader
from tests.helpers.s3 import s3_server
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex
from vicmae_mm.datasets.packed import remote
from vicmae_mm.datasets.packed.storage import RangeReader
from vicmae_mm.datasets.readers import base
from vicmae_mm.utils.errors import RunError

from .conftest import LENGTHS

s3fs = pytest.importorskip('s3fs')
for needed in ('moto', 'flask_cors'):
    pytest.importorskip(needed)
READ = [dict(type='vicmae_mm.SampleFramePair'), dict(type='vicmae_mm.VideoDecode')]
SHARDS = 3


@pytest.fixture(scope='module')
def server():
    with s3_server() as app:
        yield app


@pytest.fixture
def bucket(server, packed, monkeypatch, tmp_path):
    """URL of the pack; the server has no fault and the cache is empty."""
    for name, value in dict(AWS_ACCESS_KEY_ID='key', AWS_SECRET_ACCESS_KEY='secret',
                            AWS_DEFAULT_REGION='us-east-1', AWS_ENDPOINT_URL=server.url,
                            AWS_MAX_ATTEMPTS='1', VICMAE_MM_CACHE=str(tmp_path / 'cache')).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(base, 'RETRY_WAITS', (0, 0))
    monkeypatch.setattr(remote, 'PAUSE', 0)
    monkeypatch.setattr(s3fs.S3FileSystem, 'retries', 2)
    server.fault = lambda *request: None
    filesystem = fsspec.filesystem('s3')
    filesystem.invalidate_cache()
    if filesystem.exists('bucket'):
        filesystem.rm('bucket/packed', recursive=True)
    else:
        filesystem.mkdir('bucket')
    filesystem.put(str(packed), 'bucket/packed', recursive=True)
    server.requests.clear()
    return 's3://bucket/packed'


def build(root, **kwargs) -> PackedFrameDataset:
    return PackedFrameDataset(str(root), **{'pipeline': READ, 'max_bad_share': 0, **kwargs})


def frames(dataset, epoch: int = 0) -> list[np.ndarray]:
    return [image for index in range(len(LENGTHS))
            for image in dataset[SampleIndex(index, 0, epoch)]['imgs']]


def copies(tmp_path: Path) -> list[str]:
    """Names of the shards that have a copy."""
    kept = tmp_path.glob('cache/vicmae_mm/packed_shards/*/*.zip.*')
    return sorted(path.name[:15] for path in kept if not path.name.endswith('.part'))


def read_until_copied(dataset, tmp_path: Path, number: int = SHARDS) -> None:
    end = time.monotonic() + 30
    while len(copies(tmp_path)) < number:
        frames(dataset)
        assert time.monotonic() < end
    dataset._shards._thread.join(30)


def test_later_epochs_and_starts_request_nothing(bucket, server, packed, tmp_path):
    dataset = build(bucket)
    assert all(map(np.array_equal, frames(dataset), frames(build(packed))))
    read_until_copied(dataset, tmp_path)
    server.requests.clear()
    for other in (dataset, pickle.loads(pickle.dumps(dataset))):
        assert all(map(np.array_equal, frames(other, 1), frames(build(packed), 1)))
    assert server.requests == []
    again = build(bucket)
    frames(again)
    assert [request[:2] for request in server.requests] == [('GET', '/bucket')]  # the listing


def test_workers_share_copies(bucket, server, packed, tmp_path):
    config = dict(type='vicmae_mm.PackedFrameDataset', data_root=bucket, pipeline=READ + PACK,
                  max_bad_share=0)
    want = epoch_of(loader(dict(config, data_root=str(packed))), 0)
    loaded = loader(config, workers=2)
    end = time.monotonic() + 30
    while len(copies(tmp_path)) < SHARDS:
        assert epoch_of(loaded, 0) == want and time.monotonic() < end
    server.requests.clear()
    assert epoch_of(loaded, 0) == want and server.requests == []


@pytest.mark.parametrize('damage', ['changed', 'cut', 'removed'])
def test_damaged_copies_are_dropped(bucket, server, packed, tmp_path, damage):
    dataset = build(bucket)
    read_until_copied(dataset, tmp_path)
    for copy in tmp_path.glob('cache/vicmae_mm/packed_shards/*/*.zip.*'):
        if damage == 'changed':
            copy.write_bytes(bytes(copy.stat().st_size))
        elif damage == 'cut':
            os.truncate(copy, 1000)
        else:
            copy.unlink()
    again = build(bucket)
    assert all(map(np.array_equal, frames(again), frames(build(packed))))
    assert not again.bad_videos
    read_until_copied(again, tmp_path)
    assert all(map(np.array_equal, frames(again), frames(build(packed))))


def test_damage_in_the_storage_does_not_drop_the_copy(bucket, packed, tmp_path):
    offset = build(packed, pipeline=[])[3]['video_reader']._frames['offset'][0]
    content = bytearray((packed / 'shard-00001.zip').read_bytes())
    content[offset + 100] ^= 255
    fsspec.filesystem('s3').pipe('bucket/packed/shard-00001.zip', bytes(content))
    read_until_copied(build(bucket, max_bad_share=1), tmp_path)
    dataset = build(bucket, max_bad_share=1)
    with patch('os.remove') as remove:
        for epoch in range(8):
            frames(dataset, epoch)
    assert [*dataset.bad_videos._reasons] == ['a class/3.mp4'] and not remove.called


def test_a_changed_shard_is_copied_again(bucket, packed, tmp_path):
    read_until_copied(build(bucket), tmp_path)
    content = bytearray((packed / 'shard-00000.zip').read_bytes())
    content[-5:] = b'other'
    fsspec.filesystem('s3').pipe('bucket/packed/shard-00000.zip', bytes(content))
    before = {*tmp_path.glob('cache/vicmae_mm/packed_shards/*/*.zip.*')}
    dataset = build(bucket)
    end = time.monotonic() + 30
    while not {*tmp_path.glob('cache/vicmae_mm/packed_shards/*/*.zip.????????????????')} - before:
        frames(dataset)
        assert time.monotonic() < end
    assert copies(tmp_path) == [f'shard-0000{i}.zip' for i in range(SHARDS)]


def test_a_shard_that_changes_during_a_run_has_no_copy(bucket, packed, tmp_path):
    dataset = build(bucket, max_bad_share=1)
    content = (packed / 'shard-00000.zip').read_bytes()
    fsspec.filesystem('s3').pipe('bucket/packed/shard-00000.zip', content + b'more')
    with patch.object(remote, 'print_log') as log:
        read_until_copied(dataset, tmp_path, SHARDS - 1)
        end = time.monotonic() + 10
        while not log.called and time.monotonic() < end:
            frames(dataset)
    assert copies(tmp_path) == ['shard-00001.zip', 'shard-00002.zip']
    assert 'it arrived incomplete, or has changed' in log.call_args[0][0]


@pytest.mark.parametrize('room', [0, 1, 2])
def test_copies_stay_within_the_limit(bucket, packed, tmp_path, server, room):
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in packed.glob('*[yn]'))
    size += room and room * 4096 + sum(
        path.stat().st_size for path in sorted(packed.glob('*.zip'))[:room])
    shards = build(bucket, cache_gb=size / 1e9 if room else 0)
    with patch.object(remote, 'print_log') as log:
        for _ in range(5):
            assert all(map(np.array_equal, frames(shards), frames(build(packed))))
            shards._shards._thread.ident and shards._shards._thread.join(30)
    assert len(copies(tmp_path)) <= room
    assert [call.args[0] for call in log.call_args_list if 'it may have' not in call.args[0]] == []
    assert len(log.call_args_list) == (room > 0)


def test_a_full_disk(bucket, packed, tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch.object(remote, 'atomic_write', side_effect=full), \
            patch.object(remote, 'print_log') as log:
        dataset = build(bucket)
        for _ in range(3):
            assert all(map(np.array_equal, frames(dataset), frames(build(packed))))
    assert len(log.call_args_list) == 1 and 'No space left' in log.call_args[0][0]


def test_throttling_is_waited_for(bucket, server, packed):
    left = [1]

    def throttled(*request):
        left[0] -= 1
        return 'SlowDown' if left[0] >= 0 else None

    server.fault = throttled
    dataset = build(bucket, cache_gb=0)
    left[0] = 3
    assert all(map(np.array_equal, frames(dataset), frames(build(packed))))
    server.fault = lambda *request: 'SlowDown'
    with pytest.raises(RunError, match=r'bucket/packed cannot be read.*SlowDown.*later'):
        build(bucket)


def test_cut_connections(bucket, server, packed, tmp_path):
    """Whole shards never arrive; ranges do."""
    server.fault = lambda method, path, part: (
        'cut' if path.endswith('.zip') and (not part or part.endswith('-')) else None)
    with patch.object(remote, 'print_log') as log:
        dataset = build(bucket)
        for _ in range(3):
            assert all(map(np.array_equal, frames(dataset), frames(build(packed))))
        dataset._shards._thread.join(30)
    assert 'no copy in' in log.call_args[0][0] and copies(tmp_path) == []
    assert not [*tmp_path.glob('cache/vicmae_mm/packed_shards/*/*.part')]
    server.fault = lambda *request: None
    read_until_copied(dataset, tmp_path)


def test_what_is_wrong_at_the_start_is_said_in_words(bucket, server, monkeypatch):
    server.fault = lambda *request: 'InvalidAccessKeyId'
    with pytest.raises(RunError, match=r'cannot be read.*credentials.*AWS_ACCESS_KEY_ID'):
        build(bucket)
    server.fault = lambda *request: None
    for missing in ('s3://bucket/elsewhere', 's3://nobody/packed'):
        with pytest.raises(FileNotFoundError, match=r'no packed frames.*vicmae pack'):
            build(missing)
    monkeypatch.setenv('AWS_ENDPOINT_URL', 'http://127.0.0.1:9')
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RunError, match=r'cannot be read.*check the network'):
        build(bucket)
    s3fs.S3FileSystem.clear_instance_cache()
    for wrong in (-1, '5', True, None):
        with pytest.raises(ValueError, match='cache_gb'):
            build(bucket, cache_gb=wrong)


@pytest.mark.parametrize('kind', ['file://{}', 'local://{}', 'simplecache::file://{}'])
def test_storage_on_this_machine_has_no_copies(packed, tmp_path, monkeypatch, kind):
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))
    dataset = build(kind.format(packed))
    assert all(map(np.array_equal, frames(dataset), frames(build(packed))))
    assert not (tmp_path / 'cache').exists() and isinstance(dataset._shards, RangeReader)
