"""64 clips, 17 of them bad in various ways, for the tests of corrupt data."""
import ctypes
import os
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.videos import make_audio, make_video

NUM_CLIPS = 64
NUM_GOOD = 47
HANGS, CRASHES = 'never_answers.mp4', 'crashes.mp4'


def make_clips(root: Path) -> Path:
    """Write 47 good and 17 bad clips and a list that mixes them; return the path of the list."""
    good = [make_video(root / f'good_{i:02}.mp4', num_frames=8) for i in range(NUM_GOOD)]
    bad = sorted(_make_bad(root, good[0].read_bytes()))
    names = [path.name for path in good]
    for place, name in enumerate(bad):
        names.insert(3 * place + place % 2, name)
    assert len(names) == NUM_CLIPS
    (root / 'clips.txt').write_text(''.join(f'{name} 0\n' for name in names))
    return root / 'clips.txt'


def _make_bad(root: Path, clip: bytes) -> set[str]:
    at = clip.index(b'moov')
    picture = cv2.imencode('.png', np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    contents = dict(
        empty_0=b'', empty_1=b'',
        zeros_0=bytes(100), zeros_1=bytes(len(clip)),
        truncated_0=clip[:len(clip) // 2], truncated_1=clip[:40],
        damaged_0=clip[:at] + bytes(200) + clip[at + 200:], damaged_1=clip[:at] + bytes(100),
        html_0=b'<html>404 not found</html>\n' * 50, html_1=b'<!DOCTYPE html>Sign in to continue',
        picture_0=picture)
    for name, content in contents.items():
        (root / f'{name}.mp4').write_bytes(content)
    make_audio(root / 'sound_0.mp4')
    make_audio(root / 'sound_1.mp4')
    (root / 'dangling_link.mp4').symlink_to('nowhere.mp4')
    os.mkfifo(root / HANGS)
    (root / CRASHES).write_bytes(clip)
    return {*(path.name for path in root.glob('*.mp4') if not path.name.startswith('good')),
            'missing.mp4'}


def touchy(results: dict) -> dict:
    """A transform as careless as some decoders: reads from any file, and crashes on one."""
    path = Path(results['filename'])
    if path.name == CRASHES:
        ctypes.string_at(0)
    if path.exists():
        with open(path, 'rb') as file:
            file.read(1)  # blocks for ever on a FIFO without a writer
    return results
