"""Renders the clips that the quickstart pre-trains on."""
import hashlib
import inspect
import json
import shutil
from pathlib import Path

import av
import numpy as np

from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import track

from . import digit_scenes
from .digit_scenes import SIDE, World, draw_scene, random_pose

NUM_FRAMES = 12
FPS = 12
STAMP = 'rendered.json'


def render_clips(folder: Path, world: World, num_clips: int, seed: int) -> bool:
    """Render H.264 clips of one digit each, all different, or reuse those of an earlier run.

    In a clip, the digit and the window on the photograph each move from one random pose to
    another, so that little but the digit stays the same between the two halves of a clip. File
    names and their order are unrelated to the digits.

    Returns:
        False if clips with the same settings were already there; others are replaced.

    Raises:
        ValueError: If there are fewer digits than clips.
        FileExistsError: If ``folder`` contains anything but an earlier rendering.
    """
    if not 1 <= num_clips <= len(world.labels):
        raise InputError(f'num_clips={num_clips} should be 1 to {len(world.labels)}, the number '
                         'of digits: every clip shows a different one.')
    stamp = folder / STAMP
    recipe = _recipe(num_clips, seed)
    if stamp.is_file() and json.loads(stamp.read_text()) == recipe:
        return False
    _make_empty(folder)
    rng = np.random.default_rng(seed)
    digits = rng.permutation(len(world.labels))[:num_clips].tolist()
    for number, digit in enumerate(track(digits, 'Rendering')):
        start, end = random_pose(rng), random_pose(rng)
        shares = np.linspace(0, 1, NUM_FRAMES)
        frames = [draw_scene(world, digit, start.towards(end, share)) for share in shares]
        write_clip(folder / f'{number:05d}.mp4', frames)
    # Last, so that an interrupted rendering is not reused.
    stamp.write_text(json.dumps(recipe, indent=2))
    return True


def write_clip(path: Path, frames: list[np.ndarray]) -> None:
    """Encode frames, uint8 (SIDE, SIDE, 3) RGB, as H.264."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = 'yuv420p'
        # With one thread, the bytes do not depend on the number of cores. With x264's assembly, one
        # in about twelve clips differs from run to run, and the training with it.
        stream.options = {'preset': 'veryfast', 'crf': '18', 'bf': '0', 'threads': '1',
                          'x264-params': 'asm=0'}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode(None))


def _recipe(num_clips: int, seed: int) -> dict:
    """Everything that determines the clips, including a hash of the code that draws them."""
    code = ''.join(inspect.getsource(part) for part in (digit_scenes, render_clips, write_clip))
    return dict(
        num_clips=num_clips, seed=seed, num_frames=NUM_FRAMES,
        code=hashlib.sha256(code.encode()).hexdigest())


def _make_empty(folder: Path) -> None:
    """Create the folder, or delete the earlier clips in it."""
    foreign = [path.name for path in folder.glob('*')
               if path.suffix != '.mp4' and path.name != STAMP]
    if foreign:
        raise FileExistsError(f'{folder} is for rendered clips only, but contains {foreign[0]}: '
                              'choose another --work-dir.')
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
