"""Renders the clips and images that the quickstart pre-trains on."""
import hashlib
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

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
    def render(path: Path, digit: int, rng: np.random.Generator) -> None:
        start, end = random_pose(rng), random_pose(rng)
        shares = np.linspace(0, 1, NUM_FRAMES)
        frames = [draw_scene(world, digit, start.towards(end, share)) for share in shares]
        write_clip(path, frames)

    return _render(folder / '*.mp4', world, num_clips, seed, np.random.default_rng(seed), render)


def render_images(folder: Path, world: World, num_images: int, seed: int) -> bool:
    """Render PNG images of one digit each, in poses other than those of the clips.

    Digits and folder are as for :func:`render_clips`.
    """
    def render(path: Path, digit: int, rng: np.random.Generator) -> None:
        Image.fromarray(draw_scene(world, digit, random_pose(rng))).save(path)

    rng = np.random.default_rng([seed, 1])
    return _render(folder / '*.png', world, num_images, seed, rng, render)


def _render(pattern: Path, world: World, count: int, seed: int, rng: np.random.Generator,
            render: Callable[[Path, int, np.random.Generator], None]) -> bool:
    """Render ``count`` files, each by ``render(path, digit, rng)``."""
    if not 1 <= count <= len(world.labels):
        raise InputError(f'num_clips={count} should be 1 to {len(world.labels)}, the number '
                         'of digits: every clip shows a different one.')
    stamp = pattern.with_name(STAMP)
    recipe = _recipe(count, seed)
    if stamp.is_file() and json.loads(stamp.read_text()) == recipe:
        return False
    _make_empty(pattern)
    digits = rng.permutation(len(world.labels))[:count].tolist()
    for number, digit in enumerate(track(digits, 'Rendering')):
        render(pattern.with_stem(f'{number:05d}'), digit, rng)
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


def _recipe(count: int, seed: int) -> dict:
    """Everything that determines the files, including a hash of the code that draws them."""
    code = ''.join(inspect.getsource(part) for part in (
        digit_scenes, render_clips, render_images, write_clip))
    return dict(
        count=count, seed=seed, num_frames=NUM_FRAMES,
        code=hashlib.sha256(code.encode()).hexdigest())


def _make_empty(pattern: Path) -> None:
    """Create the folder, or delete the earlier rendering in it."""
    folder = pattern.parent
    foreign = [path.name for path in folder.glob('*')
               if path.suffix != pattern.suffix and path.name != STAMP]
    if foreign:
        raise FileExistsError(f'{folder} is for rendered files only, but contains {foreign[0]}: '
                              'choose another --work-dir.')
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
