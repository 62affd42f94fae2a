"""Files that are no checkpoints are told for what they are."""
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from vicmae_mm.checkpoints.file_kinds import foreign_kind
from vicmae_mm.checkpoints.weight_files import read_weights

LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345678\n'
STATE = {'a': torch.arange(3.)}


@pytest.mark.parametrize('name, content, words', [
    ('a.pth', LFS, 'a Git LFS pointer'),
    ('a.safetensors', LFS, 'a Git LFS pointer'),
    ('a.pth', b'/annex/objects/SHA256E-s10--00.pth\n', 'a git-annex pointer'),
    ('a.pth', b'\n<!DOCTYPE html>\n<html lang="en">', 'a web page'),
    ('a.safetensors', b'<html><body>', 'a web page'),
    ('a.pth', b'', r'empty \(0 bytes\)'),
    ('a.bin', b'GGUF\x03\0\0\0', 'a GGUF file'),
    ('a.h5', b'\x89HDF\r\n\x1a\n', 'an HDF5 file'),
    ('a.onnx', b'\x08\x07\x12\x07pytorch', 'an ONNX model'),
    ('a.ckpt.index', b'\0\0\0', 'part of a checkpoint of TensorFlow'),
    ('a.data-00000-of-00001', b'\0\0\0', 'part of a checkpoint of TensorFlow'),
    ('a.pth.gz', b'\x1f\x8b\x08', 'compressed by gzip'),
    ('a.pth', b'{"message": "Not Found"}', "a text file, which begins with '{\"message\""),
])
def test_what_a_file_is(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f'{name} is not a .*, or is damaged: it is {words}'):
        read_weights(tmp_path / name)


def test_archives(tmp_path):
    torch.save(STATE, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.write(tmp_path / 'a.pth', 'run/a.pth')
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        archive.add(tmp_path / 'a.pth')
    np.savez(tmp_path / 'a.npz', a=np.ones(2))
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / 'a.pt')
    for name, words in {'a.zip': 'a zip archive, with run/a.pth in it', 'a.tar': 'a tar archive',
                        'a.npz': 'arrays of NumPy', 'a.pt': 'a TorchScript archive'}.items():
        assert words in str(foreign_kind(tmp_path / name))
        with pytest.raises(ValueError, match=f'it is {words}'):
            read_weights(tmp_path / name)


def test_checkpoints_are_not_foreign(tmp_path):
    torch.save(STATE, tmp_path / 'a.pth')
    torch.save(STATE, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'a.bin').write_bytes(save(STATE))  # safetensors under another name
    for name in ('a.pth', 'old.pth', 'a.bin'):
        assert foreign_kind(tmp_path / name) is None
        assert torch.equal(read_weights(tmp_path / name)['a'], STATE['a'])


def test_link_of_git_annex(tmp_path):
    os.symlink('../.git/annex/objects/00/SHA', tmp_path / 'a.pth')
    with pytest.raises(FileNotFoundError, match=r'a link to .*annex/objects.* git annex get'):
        read_weights(tmp_path / 'a.pth')
