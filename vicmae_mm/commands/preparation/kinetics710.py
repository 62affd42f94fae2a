"""Kinetics-710: the training videos of Kinetics-400, 600 and 700 without duplicates."""
import os.path as osp
import re
from collections.abc import Collection, Mapping, Sequence

from vicmae_mm.datasets.annotations.video_lists import NO_LABEL
from vicmae_mm.utils.errors import InputError, quoted

from .kinetics import EXPECTED_NAME, find_csv_files, find_folders, read_csv_files
from .lists import SplitList, videos_in

_FILE_NAME = re.compile(r'([\w-]{11})(_\d+_\d+)?', re.ASCII)


def build_kinetics710_list(roots: Sequence[str], given: Mapping[str, str | None]) -> SplitList:
    """List the training videos of several Kinetics by the rule of UniFormerV2 (arXiv 2211.09552).

    By their YouTube ids, those of the validation and test sets of any dataset are left out, and
    those that an earlier one has. There are no labels: the 710 classes were merged by hand.
    ``roots`` are the folders of Kinetics-400, 600 and 700, ``given`` as in :func:`find_folders`. It
    is an InputError if a root is given twice, or its training or held-out videos are not known.
    """
    if len({osp.realpath(root) for root in roots}) < len(roots):
        raise InputError(f'A folder is given twice: {quoted(roots)}.')
    base = osp.commonpath([osp.abspath(root) for root in roots])
    datasets = [_read_splits(root, given) for root in roots]
    held_out = {video for _, ids, _ in datasets for video in ids}
    result = SplitList('train', base, [])
    listed: set[str] = set()
    for root, (training, _, remark) in zip(roots, datasets, strict=True):
        kept = {video: path for video, path in reversed(training)  # the first file stays
                if video not in held_out and video not in listed}
        held = sum(video in held_out for video, _ in training)
        result.remarks.append(
            f'{root}: {len(kept):,} of {len(training):,}; {held:,} are validation or test videos, '
            f'{len(training) - held - len(kept):,} are duplicates{remark}')
        result.videos += [(osp.relpath(path, base), NO_LABEL) for path in kept.values()]
        listed |= kept.keys()
    result.videos.sort()
    return result


def _read_splits(root: str, given: Mapping[str, str | None]
                 ) -> tuple[list[tuple[str, str]], set[str], str]:
    """Id and path of the training videos, ids of all others, and a remark."""
    folders = find_folders(root, given)
    rows = read_csv_files(find_csv_files(root))
    known = {clip[0] for clips in rows.values() for clip in clips}
    held_out: set[str] = set()
    remark = ''
    for split in ('val', 'test'):
        videos, strangers = _identify(folders.get(split), known)
        held_out.update(video for video, _ in videos)
        if split in rows:
            held_out.update(clip[0] for clip in rows[split])
        elif strangers or (split == 'val' and not videos):
            raise InputError(
                f'The {split} videos of {root!r} cannot be kept out of training, because their '
                'YouTube ids are not known. Put the official csv files into it, or a folder of '
                f'files with names like {EXPECTED_NAME}; found: {quoted(strangers) or "nothing"}.')
        else:
            remark += f'; no {split}.csv, so its {split} videos are the {len(videos):,} on disk'
    training, strangers = _identify(folders.get('train'), known)
    if not training:
        raise InputError(f'{root!r} has no training videos with names like {EXPECTED_NAME}; found: '
                         f'{quoted(strangers) or "nothing"}.')
    if strangers:
        remark += f'; {len(strangers):,} others have no YouTube id ({quoted(strangers)})'
    replaced = dict(_identify(osp.join(root, 'replacement'), known)[0])
    return [(video, replaced.get(video, path)) for video, path in training], held_out, remark


def _identify(folder: str | None,
              known: Collection[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """YouTube id and path of videos, and the names of those without; a bare id has to be known."""
    videos, strangers = [], []
    for path in videos_in(folder) if folder else ():
        match = _FILE_NAME.fullmatch(osp.splitext(osp.basename(path))[0])
        if match and (match[2] or match[1] in known):
            videos.append((match[1], osp.join(folder or '', path)))
        else:
            strangers.append(path)
    return videos, strangers
