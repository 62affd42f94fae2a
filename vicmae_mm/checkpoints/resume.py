"""Which checkpoint of a work dir a run goes on from."""
import logging
import re
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.utils.errors import InputError


def choose_checkpoint(work_dir: str, folder: str, patterns: list[str]) -> str | None:
    """Find the newest whole checkpoint; say which are damaged.

    First comes what ``last_checkpoint`` names, unless something newer was written before a kill
    could keep that file up to date; then the others, newest first. Only the files' integrity is
    looked at: a whole file that holds code is chosen, and refused when it is loaded. The main
    process decides for all.

    Args:
        work_dir: Where ``last_checkpoint`` is.
        folder: Where the checkpoints are.
        patterns: Of their names, such as ``'epoch_*.pth'``.

    Returns:
        The path, the same on every process; None if there is no checkpoint.

    Raises:
        ValueError: There are checkpoints, and all are damaged; or the search failed.
    """
    choice: list[str | None] = [None, None]
    cause = None
    if is_main_process():
        try:
            choice[0] = _choose(Path(work_dir), Path(folder), patterns)
        # Of any kind: the other processes wait in the broadcast until they are told.
        except Exception as error:
            cause, choice[1] = error, str(error) or type(error).__name__
    broadcast_object_list(choice)
    path, problem = choice
    if problem is not None:
        raise InputError(problem) from cause
    return path


def _choose(work_dir: Path, folder: Path, patterns: list[str]) -> str | None:
    note = _read(work_dir / 'last_checkpoint')
    if '://' in note:  # another store, which can't be searched
        return note
    damaged: list[str] = []
    for path in _candidates(work_dir, folder, patterns, note):
        damage = find_damage(path)
        if damage is None:
            if damaged:
                print_log(f'{"; ".join(damaged)}. Falling back to {path}, the newest checkpoint '
                          'that is whole.', 'current', logging.WARNING)
            return str(path)
        damaged.append(f'{path} is damaged: {damage}')
    if damaged:
        raise InputError(f'{"; ".join(damaged)}. No other checkpoint is there to resume from: '
                         'restore one, or move them away to start from the beginning.')
    print_log(f'There is no checkpoint in {work_dir}: training starts from the beginning.',
              'current', logging.WARNING)
    return None


def _candidates(work_dir: Path, folder: Path, patterns: list[str], note: str) -> list[Path]:
    found = {path for place in {work_dir, folder} for pattern in patterns
             for path in place.glob(pattern) if path.is_file()}
    newest_first = sorted(found, key=lambda path: (path.stat().st_mtime_ns, _number(path)),
                          reverse=True)
    named = _named(note, work_dir, folder)
    if named is None:
        return newest_first
    written = (work_dir / 'last_checkpoint').stat().st_mtime_ns
    # A copied work dir has meaningless times: numbers of the same kind must agree.
    later = [path for path in newest_first if path != named and path.stat().st_mtime_ns > written
             and (_kind(path) != _kind(named) or _number(path) > _number(named))]
    rest = [path for path in newest_first if path != named and path not in later]
    return [*later, named, *rest]


def _named(note: str, work_dir: Path, folder: Path) -> Path | None:
    """What ``last_checkpoint`` names, also after the work dir was moved or copied."""
    if not note:
        return None
    # A copy's own file first: the original's may be of a later run by now.
    name = Path(note).name
    places = [folder / name, Path(note), work_dir / name]
    return next((place for place in places if place.is_file()), None)


def _read(note: Path) -> str:
    return note.read_text(errors='replace').strip() if note.is_file() else ''


def _number(path: Path) -> int:
    numbers = re.findall(r'\d+', path.stem)
    return int(numbers[-1]) if numbers else 0


def _kind(path: Path) -> str:
    return re.sub(r'\d+', '', path.stem)
