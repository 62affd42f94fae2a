"""Which checkpoint of a work directory a run resumes from."""
import functools
import logging
import re
from pathlib import Path

from mmengine.logging import print_log

from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.main_process import on_main_process

_NAMES = ['epoch_*.pth', 'iter_*.pth']


def has_checkpoints(folder: Path) -> bool:
    """Whether a run in this folder has written checkpoints, to the folder or to its out_dir."""
    return any(path.is_file() for name in (*_NAMES, 'last_checkpoint')
               for path in folder.glob(name))


def newest_of_run(folder: Path) -> Path | None:
    """The newest undamaged checkpoint of the run in a folder, which the log names.

    None if there are no checkpoints.

    Raises:
        ValueError: All are damaged, or they are in a remote store.
    """
    files = tuple((path, path.stat().st_mtime_ns) for name in ('*.pth', 'last_checkpoint')
                  for path in sorted(folder.glob(name)))
    return _newest(folder, files) if has_checkpoints(folder) else None


@functools.lru_cache(8)  # to check one reads all of it, and each is opened several times
def _newest(folder: Path, files: tuple) -> Path | None:
    newest = _choose(folder, folder, _NAMES)
    if newest and '://' in newest:
        raise InputError(f'The checkpoints of the run in {folder} are in a remote store: name its '
                         f'newest, {newest}, or a local copy, in place of the folder.')
    if newest is None:  # they were removed
        return None
    print_log(f'{folder} is the folder of a run: using {Path(newest).name}, its newest undamaged '
              'checkpoint.', 'current')
    return Path(newest).resolve()


def choose_checkpoint(work_dir: str, folder: str, patterns: list[str]) -> str | None:
    """Find the newest undamaged checkpoint, and report the damaged ones.

    First comes the one that ``last_checkpoint`` names, unless a newer one was written and the run
    killed before it could update that file; then the remaining ones, newest first. Only integrity
    is checked: an undamaged file that contains code is chosen, and refused when it is loaded.

    ``last_checkpoint`` is in ``work_dir``, the checkpoints are in ``folder``, with names such as
    ``'epoch_*.pth'``. The path is the same on every process; None if there is no checkpoint.

    Raises:
        ValueError: There are checkpoints, but all are damaged; or the search failed.
    """
    # The main process decides for all: another machine may not see the newest files yet.
    return on_main_process(lambda: _choose(Path(work_dir), Path(folder), patterns))


def _choose(work_dir: Path, folder: Path, patterns: list[str]) -> str | None:
    note = _read_note(work_dir / 'last_checkpoint')
    if '://' in note:  # a remote store, which cannot be searched
        return note
    damaged: list[str] = []
    for path in _candidates(work_dir, folder, patterns, note):
        damage = find_damage(path)
        if damage is None:
            if damaged:
                print_log(f'{"; ".join(damaged)}. Falling back to {path}, the newest undamaged '
                          'checkpoint.', 'current', logging.WARNING)
            return str(path)
        damaged.append(f'{path} is damaged: {damage}')
    # Starting again here would overwrite what may still be restored.
    if damaged:
        raise InputError(f'{"; ".join(damaged)}. There is no other checkpoint to resume from: '
                         'restore one, or move the damaged ones away to start from the beginning.')
    return None


def _candidates(work_dir: Path, folder: Path, patterns: list[str], note: str) -> list[Path]:
    found = {path for place in {work_dir, folder} for pattern in patterns
             for path in place.glob(pattern) if path.is_file()}
    newest_first = sorted(found, key=lambda path: (path.stat().st_mtime_ns, _number(path)),
                          reverse=True)
    # After a move or copy of the work dir, last_checkpoint still contains the old path. The file in
    # this folder comes first, since the original may have been overwritten.
    name = Path(note).name
    last = next((path for path in (folder / name, Path(note), work_dir / name) if path.is_file()),
                None)
    if last is None:
        return newest_first
    updated = (work_dir / 'last_checkpoint').stat().st_mtime_ns
    # In a copied work dir, modification times are unreliable, so the number must be higher too.
    later = [path for path in newest_first if path.stat().st_mtime_ns > updated
             and (_kind(path) != _kind(last) or _number(path) > _number(last))]
    return list(dict.fromkeys([*later, last, *newest_first]))


def _read_note(path: Path) -> str:
    return path.read_text(errors='replace').strip() if path.is_file() else ''


def _number(path: Path) -> int:
    numbers = re.findall(r'\d+', path.stem)
    return int(numbers[-1]) if numbers else 0


def _kind(path: Path) -> str:
    return re.sub(r'\d+', '', path.stem)
