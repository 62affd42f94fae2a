"""Helpers for tests of kept indexes."""
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from tests.helpers.videos import read_frame_number
from vicmae_mm.datasets.readers import IndexStore, open_video
from vicmae_mm.datasets.readers.kept_index import index_file as kept_index
from vicmae_mm.datasets.readers.kept_index.indexed_reader import IndexedReader

WANTED = [30, 7, 39]


def numbers(path: str, store: IndexStore, wanted: list[int] = WANTED) -> list[int]:
    with open_video(path, store=store) as reader:
        return [read_frame_number(frame) for frame in reader.get_frames(wanted)]


def is_indexed(path: str, store: IndexStore) -> bool:
    with open_video(path, store=store) as reader:
        return isinstance(reader, IndexedReader)


def kept_file(store: IndexStore) -> Path:
    path, = Path(store.folder).rglob('*.safetensors')
    return path


def rewrite(store: IndexStore, header: dict | None = None, **arrays: np.ndarray) -> None:
    """Change what is kept, with a correct checksum, as an attacker would."""
    path = kept_file(store)
    content = load(path.read_bytes())
    del content['checksum']
    if header is not None:
        old = json.loads(content['header'].tobytes())
        old['places'].update(header.pop('places', {}))
        content['header'] = np.frombuffer(json.dumps(old | header).encode(), np.uint8)
    content |= arrays
    checksum = {'checksum': np.array(kept_index._checksums(content), np.uint32)}
    path.write_bytes(save(content | checksum))
