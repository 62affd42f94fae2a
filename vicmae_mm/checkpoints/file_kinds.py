"""What a file is that is no checkpoint: pointers, web pages, archives, other formats."""
from __future__ import annotations

import zipfile
from pathlib import Path

_UNPACK = 'unpack it, and pass the file of weights in it'
# Offset of a few bytes, and what they show.
_SIGNATURES = (
    (0, b'version https://git-lfs.github.com/spec/',
     'a Git LFS pointer, not the file it stands for: fetch that with git lfs pull'),
    (0, b'/annex/objects/',
     'a git-annex pointer, not the file it stands for: fetch that with git annex get'),
    (257, b'ustar', f'a tar archive: {_UNPACK}'),
    (0, b'\x1f\x8b', f'compressed by gzip: {_UNPACK}'),
    (0, b'BZh', f'compressed by bzip2: {_UNPACK}'),
    (0, b'\xfd7zXZ\0', f'compressed by xz: {_UNPACK}'),
    (0, b'\x28\xb5\x2f\xfd', f'compressed by zstd: {_UNPACK}'),
    (0, b'7z\xbc\xaf\x27\x1c', f'a 7z archive: {_UNPACK}'),
    (0, b'\x89HDF\r\n', 'an HDF5 file (Keras, TensorFlow): take the PyTorch or safetensors file'),
    (0, b'GGUF', 'a GGUF file: take the PyTorch or safetensors file'),
    (4, b'TFL3', 'a TensorFlow Lite model: take the PyTorch or safetensors file'),
    (0, b'\x93NUMPY', 'an array of NumPy: take the PyTorch or safetensors file'),
)
_SUFFIXES = {
    '.onnx': 'an ONNX model', '.pb': 'a model of TensorFlow', '.msgpack': 'weights of Flax',
    '.index': 'part of a checkpoint of TensorFlow', '.npz': 'arrays of NumPy',
    '.engine': 'a TensorRT engine',
}


def foreign_kind(path: str | Path) -> str | None:
    """Say what a local file is, if it is clearly something else than a checkpoint.

    Returns:
        A few words, with what to do; None for a checkpoint, or for bytes that say nothing.
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(512)
    except OSError:
        return None
    if not head:
        return 'empty (0 bytes): download or copy it again'
    for offset, signature, words in _SIGNATURES:
        if head[offset:].startswith(signature):
            return words
    if is_safetensors(head) or head.startswith(b'\x80'):
        return None
    suffix = Path(path).suffix.lower()
    if suffix in _SUFFIXES or '.data-0' in Path(path).name:
        what = _SUFFIXES.get(suffix, 'part of a checkpoint of TensorFlow')
        return f'{what}: take the PyTorch or safetensors file'
    return _kind_of_zip(path) if head.startswith(b'PK') else _kind_of_text(head)


def is_safetensors(head: bytes) -> bool:
    """Whether the first bytes of a file are those of safetensors, whatever its name."""
    return head[8:10] == b'{"' and int.from_bytes(head[:8], 'little') < 100_000_000


def _kind_of_zip(path: str | Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises many types for damaged files, which are judged elsewhere
        return None
    if any(name.endswith('constants.pkl') for name in names) and any(
            '/code/' in name for name in names):
        return ('a TorchScript archive, which contains code: save the state_dict() of its module '
                'instead')
    if not names or any(name.endswith(('data.pkl', '/version')) for name in names):
        return None
    return f'a zip archive, with {names[0]} in it: {_UNPACK}'


def _kind_of_text(head: bytes) -> str | None:
    try:
        text = head[:256].decode('utf-8').strip()
    except UnicodeDecodeError:
        return None
    if text[:9].lower() in ('<!doctype', '<html>') or text[:5].lower() == '<html':
        return ('a web page, not the file that it offers: download the file itself, by its '
                '"raw" or "resolve" link')
    if not text or not text.replace('\n', '').replace('\t', '').replace('\r', '').isprintable():
        return None
    return f'a text file, which begins with {text.splitlines()[0][:40]!r}'
