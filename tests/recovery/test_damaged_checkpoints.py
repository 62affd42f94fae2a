"""A flipped byte or a cut is seen and told; a run falls back to what is whole."""
import io
import logging
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.checkpoint_integrity import find_damage, with_checksum
from vicmae_mm.checkpoint_safety import UnsafeCheckpointError
from vicmae_mm.engine.auto_resume import choose_checkpoint

PATTERNS = ['epoch_*.pth', 'iter_*.pth']


def checkpoint(**more: Any) -> bytes:
    """Zip archive of a checkpoint, as torch writes it."""
    weights = {f'layer{n}.weight': torch.randn(64, 50) for n in range(8)}
    buffer = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=dict(epoch=1), **more), buffer)
    return buffer.getvalue()


def checksummed(content: bytes) -> bytes:
    return b''.join(map(bytes, with_checksum(content)))


def places(content: bytes) -> list[int]:
    """50 bytes: in the head, the pickle, the tensors, the directory, the comment."""
    directory, comment = content.find(b'PK\1\2'), len(content) - 83
    spread = torch.linspace(100, directory - 1, 18).long().tolist()
    entries = torch.linspace(directory, comment - 1, 12).long().tolist()
    return [*range(8), *spread, *entries, *range(comment, len(content), 7)]


def damaged(content: bytes) -> dict[str, bytes]:
    """50 files with a flipped byte and 10 that are cut, the cut of the comment among them."""
    flipped = {}
    for place in places(content):
        copy = bytearray(content)
        copy[place] ^= 1 << place % 8
        flipped[f'flip_{place}'] = bytes(copy)
    size = len(content)
    cuts = [0, 1, 30, size // 4, size // 2, size - 300, size - 103, size - 81, size - 64, size - 1]
    return {**flipped, **{f'cut_{cut}': content[:cut] for cut in cuts}}


def count_refused(files: dict[str, bytes], folder: Path) -> int:
    """How many are refused by name."""
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
    whole = checksummed(checkpoint())
    files = damaged(whole)
    assert len(files) == 60
    (tmp_path / 'whole.pth').write_bytes(whole)
    assert _load_checkpoint(str(tmp_path / 'whole.pth'))['meta'] == dict(epoch=1)
    assert count_refused(files, tmp_path) == 60


def test_torch_alone_loads_flipped_tensors_silently(tmp_path):
    files, loaded = damaged(checksummed(checkpoint())), 0
    for content in files.values():
        try:
            torch.load(io.BytesIO(content), weights_only=True)
            loaded += 1
        except Exception:  # zip, pickle, unicode and others
            continue
    print('loaded', loaded)
    assert loaded >= 20


def test_every_flipped_byte_of_the_checksum_and_its_frame_is_seen(tmp_path):
    whole, path = checksummed(checkpoint()), tmp_path / 'a.pth'
    for place in range(len(whole) - 103, len(whole)):
        for mask in (1, 32, 255):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1:])
            assert find_damage(path), (place, mask)


def test_file_is_an_ordinary_zip_archive(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(checksummed(checkpoint()))
    want = torch.load(io.BytesIO(path.read_bytes()))['state_dict']
    got = torch.load(path, mmap=True, weights_only=True)['state_dict']
    assert all(torch.equal(got[name], want[name]) for name in want)
    assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.parametrize('deep', [False, True])
def test_files_of_others_are_whole(deep, tmp_path):
    (tmp_path / 'zip.pth').write_bytes(checkpoint())
    torch.save({}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert find_damage(tmp_path / 'zip.pth', deep) is None
    assert find_damage(tmp_path / 'old.pth', deep) is None


def test_error_names_the_newest_whole_file_beside_it(tmp_path):
    content = checksummed(checkpoint())
    for age, name in enumerate(['epoch_4.pth', 'epoch_3.pth', 'epoch_2.pth', 'epoch_1.pth']):
        (tmp_path / name).write_bytes(content[:-1] if age < 2 else content)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    with pytest.raises(ValueError, match=r'epoch_4\.pth is damaged.* is \S+/epoch_2\.pth\.$'):
        _load_checkpoint(str(tmp_path / 'epoch_4.pth'))


# --- --resume without a path ----------------------------------------------------------------

@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints, the third of which ``last_checkpoint`` names."""
    for number in (1, 2, 3):
        (tmp_path / f'epoch_{number}.pth').write_bytes(checksummed(checkpoint()))
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


def test_copy_of_a_work_dir_goes_on_from_its_own_files(work_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp('copies') / 'copy'
    shutil.copytree(work_dir, copy)  # last_checkpoint in it names a file of the original
    assert chosen(copy) == 'epoch_3.pth'


def test_last_checkpoint_may_be_missing(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    assert chosen(work_dir) == 'epoch_3.pth'


def test_what_was_written_after_last_checkpoint_comes_first(work_dir):
    shutil.copy(work_dir / 'epoch_3.pth', work_dir / 'epoch_4.pth')  # newer: now
    shutil.copy(work_dir / 'epoch_3.pth', work_dir / 'epoch_1.pth')  # newer, but of an epoch before
    assert chosen(work_dir) == 'epoch_4.pth'


def test_remote_checkpoint_is_taken_as_it_is(tmp_path):
    note(tmp_path, 's3://bucket/run/epoch_3.pth')
    assert choose_checkpoint(str(tmp_path), 's3://bucket/run', PATTERNS) == \
        's3://bucket/run/epoch_3.pth'


def test_all_damaged_is_an_error_and_not_a_new_start(work_dir):
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
    if torch.distributed.get_rank() == 1:  # as on a machine whose copy of the folder is late
        folder += '/nothing'
    path = choose_checkpoint(folder, folder, PATTERNS)
    return path and Path(path).name


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
    assert resumed.iter == 4 and find_damage(tmp_path / 'epoch_2.pth') is None  # written anew


def test_code_in_the_newest_file_is_refused_and_not_skipped(tmp_path):
    make_runner(tmp_path, epochs=2).train()
    content = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    content['meta']['x'] = print
    torch.save(content, tmp_path / 'epoch_2.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'epoch_2\.pth was refused'):
        make_runner(tmp_path, epochs=3, resume=True).train()
