"""Damage is detected and named; a run falls back to an undamaged file (promise 4)."""
import io
import logging
import os
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.checkpoints import resume as auto_resume
from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.checkpoints.resume import choose_checkpoint
from vicmae_mm.checkpoints.safety import UnsafeCheckpointError

PATTERNS = ['epoch_*.pth', 'iter_*.pth']


def checkpoint(size: int = 50, **more: Any) -> bytes:
    """Zip archive of a checkpoint, as torch writes it."""
    weights = {f'layer{n}.weight': torch.randn(64, size) for n in range(8)}
    buffer = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=dict(epoch=1), **more), buffer)
    return buffer.getvalue()


def content_places(content: bytes) -> list[int]:
    """Offsets of all bytes of all members of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    places = []
    for member in members:
        name, extra = struct.unpack_from('<HH', content, member.header_offset + 26)
        start = member.header_offset + 30 + name + extra
        places += range(start, start + member.file_size)
    return places


def damaged(content: bytes) -> dict[str, bytes]:
    """50 files with one flipped bit in the saved content, and 10 truncated ones."""
    places = content_places(content)
    flipped = {}
    for number in torch.linspace(0, len(places) - 1, 50).long().tolist():
        copy = bytearray(content)
        copy[places[number]] ^= 1 << number % 8
        flipped[f'flip_{places[number]}'] = bytes(copy)
    size = len(content)
    cuts = [0, 1, 30, size // 4, size // 2, size - 300, size - 103, size - 22, size - 21, size - 1]
    return {**flipped, **{f'cut_{cut}': content[:cut] for cut in cuts}}


def count_refused(files: dict[str, bytes], folder: Path) -> int:
    """Number of files that are refused by name."""
    refused = 0
    for name, content in files.items():
        path = folder / f'{name}.pth'
        path.write_bytes(content)
        try:
            _load_checkpoint(str(path))
        except ValueError as error:
            refused += str(path) in str(error) and 'damaged' in str(error)
        path.unlink()
    return refused


def test_60_of_60_are_refused_by_name(tmp_path):
    undamaged = checkpoint()
    files = damaged(undamaged)
    assert len(files) == 60
    (tmp_path / 'undamaged.pth').write_bytes(undamaged)
    assert _load_checkpoint(str(tmp_path / 'undamaged.pth'))['meta'] == dict(epoch=1)
    assert count_refused(files, tmp_path) == 60


def test_torch_alone_loads_flipped_tensors_silently():
    loaded = 0
    for content in damaged(checkpoint()).values():
        try:
            torch.load(io.BytesIO(content), weights_only=True)
            loaded += 1
        except Exception:  # zip, pickle, unicode and others
            continue
    assert loaded >= 20


def is_loaded_unchanged(path: Path, want: dict) -> bool:
    """Whether torch itself loads a bit-identical content."""
    try:
        got = torch.load(path, weights_only=True)
        tensors = got['state_dict']
        return (got['meta'] == want['meta'] and tensors.keys() == want['state_dict'].keys()
                and all(tensors[k].equal(v) for k, v in want['state_dict'].items()))
    except Exception:
        return False


@pytest.mark.parametrize('part', ['headers', 'directory'])
def test_any_flipped_bit_is_found_or_changes_nothing(part, tmp_path):
    """In the zip structure around the tensors: a file that passes must load unchanged."""
    content, path = checkpoint(size=1), tmp_path / 'a.pth'
    path.write_bytes(content)
    want = torch.load(path, weights_only=True)
    directory = content.find(b'PK\1\2')
    places = (range(directory, len(content)) if part == 'directory' else
              sorted(set(range(directory)) - set(content_places(content)))[::7])
    found = 0
    for place in places:
        for bit in range(8):
            copy = bytearray(content)
            copy[place] ^= 1 << bit
            path.write_bytes(copy)
            damage = find_damage(path)
            found += damage is not None
            assert damage or is_loaded_unchanged(path, want), (place, bit)
    assert found > (4000 if part == 'directory' else 300)


def test_resume_falls_back_for_every_flipped_bit_of_the_directory(tmp_path):
    content = checkpoint(size=1)
    (tmp_path / 'epoch_1.pth').write_bytes(content)
    os.utime(tmp_path / 'epoch_1.pth', (1e9, 1e9))
    directory = content.find(b'PK\1\2')
    for place in range(directory, len(content), 2):
        copy = bytearray(content)
        copy[place] ^= 1 << place // 2 % 8
        (tmp_path / 'epoch_2.pth').write_bytes(copy)
        assert chosen(tmp_path) in ('epoch_1.pth', 'epoch_2.pth')


@pytest.mark.parametrize('error', [OSError(22, 'Invalid argument'), RuntimeError('encrypted'),
                                   MemoryError(), KeyError('x'), struct.error('short')])
def test_any_error_during_the_check_is_damage(error, tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(checkpoint())
    monkeypatch.setattr(zipfile.ZipFile, 'testzip', Mock(side_effect=error))
    assert type(error).__name__ in find_damage(path)


def test_earlier_files_with_a_checksum_in_the_comment_load(tmp_path):
    """Earlier versions wrote a SHA-256 into the archive's comment instead of comparing CRCs."""
    path, content, comment = tmp_path / 'a.pth', checkpoint(), b'vicmae_mm sha256 ' + b'0' * 64
    path.write_bytes(content[:-2] + len(comment).to_bytes(2, 'little') + comment)
    assert find_damage(path) is None
    assert _load_checkpoint(str(path))['meta'] == dict(epoch=1)


def test_files_without_checksums_pass(tmp_path):
    torch.save({}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert find_damage(tmp_path / 'old.pth') is None


def test_archive_zipped_again_with_folders_passes(tmp_path):
    """As ``zip -r`` makes it: torch ignores the entries of folders."""
    path = tmp_path / 'again.pth'
    with zipfile.ZipFile(io.BytesIO(checkpoint())) as old, zipfile.ZipFile(path, 'w') as new:
        folder = zipfile.ZipInfo(old.namelist()[0].partition('/')[0] + '/')
        folder.external_attr = 0o40755 << 16 | 0x10
        new.writestr(folder, b'')
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert torch.load(path, weights_only=True)['meta'] == dict(epoch=1)
    assert find_damage(path) is None


@pytest.mark.skipif(not hasattr(torch.serialization, 'set_crc32_options'), reason='torch < 2.6')
def test_archive_without_checksums_passes(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(dict(a=torch.ones(3)), tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert find_damage(tmp_path / 'a.pth') is None


def test_error_names_the_newest_undamaged_file_in_the_folder(tmp_path):
    content = checkpoint()
    for age, name in enumerate(['epoch_4.pth', 'epoch_3.pth', 'epoch_2.pth', 'epoch_1.pth']):
        (tmp_path / name).write_bytes(content[:-1] if age < 2 else content)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    with pytest.raises(ValueError, match=r'epoch_4\.pth is .* damaged.* is \S+/epoch_2\.pth\.$'):
        _load_checkpoint(str(tmp_path / 'epoch_4.pth'))


# --- --resume without a path ----------------------------------------------------------------

@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints; ``last_checkpoint`` names the third."""
    for number in (1, 2, 3):
        (tmp_path / f'epoch_{number}.pth').write_bytes(checkpoint())
        os.utime(tmp_path / f'epoch_{number}.pth', (1e9 + number, 1e9 + number))
    note(tmp_path, str(tmp_path / 'epoch_3.pth'))
    return tmp_path


def note(folder: Path, text: str) -> None:
    (folder / 'last_checkpoint').write_text(text)
    os.utime(folder / 'last_checkpoint', (1e9 + 3.5, 1e9 + 3.5))


def chosen(folder: Path) -> str | None:
    path = choose_checkpoint(str(folder), str(folder), PATTERNS)
    return path and os.path.relpath(path, folder)


@pytest.mark.parametrize('text, want', [
    ('{}/epoch_3.pth', 'epoch_3.pth'), ('{}/epoch_2.pth', 'epoch_2.pth'),
    ('', 'epoch_3.pth'), ('{}/epoch_7.pth', 'epoch_3.pth'), ('\xff\0', 'epoch_3.pth'),
    ('/another/machine/epoch_2.pth', 'epoch_2.pth')])
def test_last_checkpoint_may_be_anything(text, want, work_dir):
    note(work_dir, text.format(work_dir).replace('\0', '?'))
    assert chosen(work_dir) == want


def test_copy_of_a_work_dir_continues_from_its_own_files(work_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp('copies') / 'copy'
    shutil.copytree(work_dir, copy)  # last_checkpoint in it names a file of the original
    assert chosen(copy) == 'epoch_3.pth'


def test_last_checkpoint_may_be_missing(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    assert chosen(work_dir) == 'epoch_3.pth'


def test_a_file_newer_than_last_checkpoint_is_preferred(work_dir):
    shutil.copy(work_dir / 'epoch_3.pth', work_dir / 'epoch_4.pth')  # newer: now
    shutil.copy(work_dir / 'epoch_3.pth', work_dir / 'epoch_1.pth')  # newer, of an earlier epoch
    assert chosen(work_dir) == 'epoch_4.pth'


def test_remote_checkpoint_is_not_checked(tmp_path):
    note(tmp_path, 's3://bucket/run/epoch_3.pth')
    assert choose_checkpoint(str(tmp_path), 's3://bucket/run', PATTERNS) == \
        's3://bucket/run/epoch_3.pth'


def test_only_damaged_files_are_an_error_and_not_a_new_start(work_dir):
    for number in (1, 2, 3):
        (work_dir / f'epoch_{number}.pth').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'epoch_3.*epoch_2.*epoch_1.*restore one'):
        chosen(work_dir)


def test_no_checkpoint_is_a_new_start(tmp_path):
    assert chosen(tmp_path) is None


def test_two_processes_choose_the_same(work_dir):
    (work_dir / 'epoch_3.pth').write_bytes(b'PK')
    assert run_distributed(chosen_by_rank, 2, str(work_dir)) == ['epoch_2.pth', 'epoch_2.pth']


def chosen_by_rank(folder: str) -> str | None:
    if torch.distributed.get_rank() == 1:  # as where a shared folder is seen with a delay
        folder += '/nothing'
    path = choose_checkpoint(folder, folder, PATTERNS)
    return path and Path(path).name


@pytest.mark.parametrize('error', [OSError(22, 'Invalid argument'), MemoryError('full')])
def test_error_of_the_choice_reaches_every_process(error, work_dir):
    messages = run_distributed(error_by_rank, 2, str(work_dir), error)
    assert messages == [str(error)] * 2


def error_by_rank(folder: str, error: Exception) -> str:
    with patch.object(auto_resume, '_read_note', side_effect=error):
        try:
            choose_checkpoint(folder, folder, PATTERNS)
        except ValueError as raised:
            return str(raised)
    return 'no error'


def make_runner(work_dir: Path, **kwargs: Any):
    hooks = dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1), logger=None)
    return tiny_runner(work_dir, [], dataset=FixedPairs(), default_hooks=hooks, **kwargs)


def test_run_falls_back_and_says_so(tmp_path, caplog):
    make_runner(tmp_path, epochs=2).train()
    content = bytearray((tmp_path / 'epoch_2.pth').read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'epoch_2.pth').write_bytes(content)
    resumed = make_runner(tmp_path, epochs=2, resume=True)
    logging.getLogger(resumed.logger.name).addHandler(caplog.handler)
    resumed.logger.addHandler(caplog.handler)
    resumed.train()
    assert f'{tmp_path}/epoch_2.pth is damaged' in caplog.text
    assert f'Falling back to {tmp_path}/epoch_1.pth' in caplog.text
    assert resumed.iter == 4 and find_damage(tmp_path / 'epoch_2.pth') is None  # written again


def test_code_in_the_newest_file_is_refused_and_not_skipped(tmp_path):
    make_runner(tmp_path, epochs=2).train()
    content = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    content['meta']['x'] = print
    torch.save(content, tmp_path / 'epoch_2.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'Refused to load \S*epoch_2\.pth'):
        make_runner(tmp_path, epochs=3, resume=True).train()
