"""Which videos of a folder are encoded again, and into which files."""
import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.utils.errors import InputError

from .converting import ensure_same_settings
from .reencode import ReencodeJob, ReencodeSettings

SETTINGS_FILE = 'reencode.json'
# What atomic_write appends to the name of a file until it is complete.
_PART = re.compile(r'(\.\d+)?\.part$')  # without a number: earlier checkouts


def plan_jobs(source: str, target: str, settings: ReencodeSettings) -> list[ReencodeJob]:
    """One job per video of a folder; targets keep the layout and become ``.mp4``.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It contains no video, or one of the folders is inside the other.
    """
    inner, outer = osp.realpath(source), osp.realpath(target)
    if inner == outer or inner.startswith(outer + os.sep) or outer.startswith(inner + os.sep):
        raise InputError(f'SRC {source!r} and DST {target!r} are the same folder or one is inside '
                         'the other. Videos are never replaced: choose a folder outside SRC.')
    paths = [path for path, _ in scan_folder(source)[0]]
    stems = Counter(osp.splitext(path)[0] for path in paths)
    return [
        ReencodeJob(osp.join(source, path), osp.join(target, _target_name(path, stems)), settings)
        for path in paths]


def _target_name(path: str, stems: Mapping[str, int]) -> str:
    """``a.avi`` becomes ``a.mp4``, or ``a.avi.mp4`` if another video is called ``a``."""
    stem, extension = osp.splitext(path)
    if extension == '.mp4':
        return path
    return f'{path}.mp4' if stems[stem] > 1 else f'{stem}.mp4'


def prepare_target(target: str, jobs: Sequence[ReencodeJob], settings: ReencodeSettings) -> None:
    """Check the settings as :func:`ensure_same_settings` does; remove leftovers of killed workers.

    Raises:
        ValueError: The target was made with different settings.
    """
    # The number of threads does not change the result, so it may differ between runs.
    ours = asdict(replace(settings, threads=1))
    ensure_same_settings(osp.join(target, SETTINGS_FILE), ours)
    # Each killed worker leaves a file with its own process id, so they would pile up. They are
    # looked for once per run: a flat folder of Kinetics-400 has too many files to list per video.
    targets = {osp.normpath(job.target) for job in jobs}
    for folder in {osp.dirname(path) for path in targets}:
        for part in Path(folder).glob('*.part'):
            if str(part.with_name(_PART.sub('', part.name))) in targets:
                part.unlink(missing_ok=True)
