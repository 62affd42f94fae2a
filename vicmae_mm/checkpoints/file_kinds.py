"""Recognises files that are not checkpoints: pointers, web pages, archives, other formats."""
import zipfile
from contextlib import suppress
from pathlib import Path

_UNPACK = 'unpack it, and pass the file of weights in it'
_OTHER = 'take the PyTorch or safetensors file'
# Offset, the bytes there, the format they identify, and what to do.
_SIGNATURES = (
    (0, b'version https://git-lfs.github.com/', 'a Git LFS pointer', 'run git lfs pull'),
    (0, b'/annex/objects/', 'a git-annex pointer', 'run git annex get'),
    (257, b'ustar', 'a tar archive', _UNPACK),
    (0, b'\x1f\x8b', 'compressed by gzip', _UNPACK),
    (0, b'7z\xbc\xaf\x27\x1c', 'a 7z archive', _UNPACK),
    (0, b'\x89HDF\r\n', 'an HDF5 file (Keras, TensorFlow)', _OTHER),
    (0, b'GGUF', 'a GGUF file', _OTHER),
    (0, b'\x93NUMPY', 'an array of NumPy', _OTHER),
)
_SUFFIXES = {'.onnx': 'an ONNX model', '.pb': 'a model of TensorFlow', '.npz': 'arrays of NumPy',
             '.msgpack': 'weights of Flax', '.index': 'part of a checkpoint of TensorFlow',
             '.data-00000-of-00001': 'part of a checkpoint of TensorFlow'}


def foreign_kind(path: str | Path) -> str | None:
    """Say what a local file is, and what to do, if it is clearly not a checkpoint; else None."""
    with suppress(OSError), open(path, 'rb') as file:
        head = file.read(512)
        if not head:
            return 'empty (0 bytes): download or copy it again'
        for offset, signature, words, advice in _SIGNATURES:
            if head[offset:].startswith(signature):
                return f'{words}: {advice}'
        suffix = Path(path).suffix
        if suffix in _SUFFIXES:
            return f'{_SUFFIXES[suffix]}: {_OTHER}'
        return _kind_of_zip(path) if head.startswith(b'PK') else _kind_of_text(head[:256])
    return None


def is_safetensors(path: str | Path) -> bool:
    """Whether a file is one of safetensors, by its suffix or else by its first bytes."""
    with suppress(OSError), open(path, 'rb') as file:
        head = file.read(10)
        # The length of the JSON header comes first.
        return Path(path).suffix == '.safetensors' or (
            head[8:] == b'{"' and int.from_bytes(head[:8], 'little') < 1e8)
    return False


def _kind_of_zip(path: str | Path) -> str | None:
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # find_damage reports damage
        names = archive.namelist()
        if any('/code/' in name for name in names):
            return 'a TorchScript archive, which is code: save the state_dict() of its module'
        if names and not any(name.endswith(('data.pkl', '/version')) for name in names):
            return f'a zip archive, with {names[0]} in it: {_UNPACK}'
    return None


def _kind_of_text(head: bytes) -> str | None:
    with suppress(UnicodeDecodeError):
        text = head.decode('utf-8').strip()
        if text.lower().startswith(('<!doctype', '<html')):
            return 'a web page: download the file that it offers, by its "raw" or "resolve" link'
        if text and ''.join(text.split()).isprintable():
            return f'a text file, which begins with {text.splitlines()[0][:40]!r}'
    return None
