"""Whether a checkpoint file is undamaged.

A checkpoint is a zip archive. torch stores a CRC-32 of every tensor in it, but does not compare
them when it loads. Here they are compared.
"""
import zipfile
from pathlib import Path

import torch

from .file_kinds import foreign_kind

_LEGACY_PICKLE = b'\x80'  # first byte of what torch before 1.6 wrote: a bare pickle, no checksums
_DIRECTORY = 0x10  # MS-DOS attribute: torch reads such a member as empty memory


def find_damage(path: str | Path) -> str | None:
    """Say what is wrong with a checkpoint, without unpickling it.

    Changes in bytes that nothing reads (padding, dates) may go unnoticed. Everything that
    :func:`torch.load` reads is covered; the tests flip bits all over a file to show it.

    Returns:
        The damage in a few words; None for an undamaged file, or one without checksums: a bare
        pickle, or an archive written under ``torch.serialization.set_crc32_options(False)``.
    """
    kind = foreign_kind(path)
    if kind is not None:
        return f'it is {kind}'
    try:
        with open(path, 'rb') as file:
            if file.read(1) == _LEGACY_PICKLE:
                return None
        with zipfile.ZipFile(path) as archive:
            damage = _check_members(archive)
        if damage is None:
            # torch's own reader refuses more, such as a wrong disk number.
            torch._C.PyTorchFileReader(str(path))
        return damage
    # zipfile and torch raise errors of a dozen types for damaged files. Whichever it is, the file
    # cannot be used, but an older one may be.
    except Exception as error:
        text = str(error).partition('\n')[0] or 'unexpected end'
        return f'it cannot be read: {type(error).__name__}: {text}'


def _check_members(archive: zipfile.ZipFile) -> str | None:
    members = archive.infolist()
    for member in members:
        is_stored = member.compress_type == zipfile.ZIP_STORED
        is_folder = member.filename.endswith('/') and member.file_size == 0  # added by zip -r
        if (member.external_attr & _DIRECTORY and not is_folder) or (
                is_stored and member.compress_size != member.file_size):
            return f'the directory entry of {member.filename} is wrong'
    # testzip looks members up by name, so it would check one of the two twice.
    if len(archive.NameToInfo) < len(members):
        return 'it has two members of the same name'
    if not any(member.CRC for member in members):
        return None  # written without checksums
    bad = archive.testzip()
    return None if bad is None else f'{bad} in it does not match its checksum'
