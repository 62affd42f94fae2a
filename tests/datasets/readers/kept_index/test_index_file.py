"""Kept indexes that are damaged or forged."""
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from vicmae_mm.datasets.readers import open_video
from vicmae_mm.datasets.readers.kept_index import index_file as kept_index
from vicmae_mm.datasets.readers.kept_index.index_store import video_state

from .kept import WANTED, is_indexed, kept_file, numbers, rewrite


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:len(data) // 2], lambda data: data[:-1],
    lambda data: bytes(len(data)), lambda data: b'\xff' * 20,
    lambda data: np.random.default_rng(0).bytes(len(data)),
    lambda data: b'\x80\x04cos\nsystem\n(S"exit 1"\ntR.',
    lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]])
def test_a_damaged_index_is_replaced(video, store, damage):
    open_video(video, store=store).close()
    path = kept_file(store)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert not is_indexed(video, store)
    assert path.read_bytes() == good
    assert numbers(video, store) == WANTED


def test_any_single_flipped_byte_is_noticed(video, store):
    open_video(video, store=store).close()
    good = kept_file(store).read_bytes()
    for at in np.random.default_rng(0).permutation(len(good))[:200]:
        bad = bytearray(good)
        bad[at] ^= 4
        kept_file(store).write_bytes(bad)
        kept = store.load(video, video_state(video))
        assert kept is None or kept.to_bytes(kept_index_state(good)) == good, at


def kept_index_state(data: bytes) -> str:
    return json.loads(load(data)['header'].tobytes())['of']


FAR = np.full(40, 2**62)
FORGED = [
    dict(position=FAR), dict(position=-FAR), dict(position=np.zeros(40)),
    dict(position=np.zeros(3, np.int64)), dict(size=np.full(40, 2**31 - 1, np.int32)),
    dict(size=np.zeros(40, np.int32)), dict(kind=np.zeros(40, np.uint8)),
    dict(kind=np.full(40, kept_index.HIDDEN, np.uint8)), dict(kind=np.zeros(0, np.uint8)),
    dict(pts=np.zeros((40, 1), np.int64)), dict(header=dict(num_frames=41)),
    dict(header=dict(num_frames='x')), dict(header=dict(places=dict(settings={}))),
    dict(header=dict(places=dict(more=1))), dict(header=dict(places=dict(decoder=3))),
    dict(header=dict(doubt='', num_frames=10**400)),
]


@pytest.mark.parametrize('forged', FORGED)
def test_a_forged_index_is_not_used(video, store, forged):
    open_video(video, store=store).close()
    good = kept_file(store).read_bytes()
    rewrite(store, **{**forged, 'header': dict(forged['header'])} if 'header' in forged else forged)
    for _ in range(2):
        assert numbers(video, store) == WANTED
    assert kept_file(store).read_bytes() == good, 'made again'


@pytest.mark.parametrize(('name', 'value'), [
    ('reorder_depth', 1000), ('reorder_depth', -1), ('width', 2**40), ('width', 1.5),
    ('color_range', True), ('codec_tag', 4)])
def test_forged_settings_are_not_used(video, store, name, value):
    open_video(video, store=store).close()
    settings = json.loads(load(kept_file(store).read_bytes())['header'].tobytes())[
        'places']['settings']
    rewrite(store, dict(places=dict(settings=settings | {name: value})))
    assert store.load(video, video_state(video)) is None


def test_deeply_nested_header(video, store):
    open_video(video, store=store).close()
    content = dict(header=np.frombuffer(b'[' * 10**6, np.uint8))
    content['checksum'] = np.array(kept_index._checksums(content), np.uint32)
    kept_file(store).write_bytes(save(content))
    assert store.load(video, video_state(video)) is None


@pytest.mark.parametrize('decoder', ['rawvideo', 'no such decoder'])
def test_a_decoder_that_does_not_exist_or_is_not_trusted(video, store, decoder):
    open_video(video, store=store).close()
    rewrite(store, dict(places=dict(decoder=decoder)))
    assert not is_indexed(video, store)
    assert numbers(video, store) == WANTED
