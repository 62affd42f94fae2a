"""Which videos of a folder are to be encoded again, and to which files."""
import os
import os.path as osp
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace

from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.utils.errors import InputError

from .converting import keep_to_settings
from .reencode import Job, Settings

SETTINGS_FILE = 'reencode.json'


def plan_jobs(source: str, target: str, settings: Settings) -> list[Job]:
    """One job for each video of a folder; targets keep the layout and become ``.mp4``.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no video, or one of the folders lies in the other.
    """
    inner, outer = osp.realpath(source), osp.realpath(target)
    if inner == outer or inner.startswith(outer + os.sep) or outer.startswith(inner + os.sep):
        raise InputError(f'SRC {source!r} and DST {target!r} are the same folder or one lies in '
                         'the other. Videos are never replaced: give a folder beside SRC.')
    paths = [path for path, _ in scan_folder(source)[0]]
    stems = Counter(osp.splitext(path)[0] for path in paths)
    return [Job(osp.join(source, path), osp.join(target, _target_name(path, stems)), settings)
            for path in paths]


def _target_name(path: str, stems: Mapping[str, int]) -> str:
    """``a.avi`` becomes ``a.mp4``, but ``a.avi.mp4`` where there is another ``a``."""
    stem, extension = osp.splitext(path)
    if extension == '.mp4':
        return path
    return f'{path}.mp4' if stems[stem] > 1 else f'{stem}.mp4'


def check_settings(target: str, settings: Settings) -> None:
    """Note the settings in a new target folder; see that an old one was made with the same.

    Raises:
        ValueError: It was made with others.
    """
    ours = asdict(replace(settings, threads=1))  # the threads change no picture
    keep_to_settings(osp.join(target, SETTINGS_FILE), ours)
