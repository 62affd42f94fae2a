"""Renders the clips and images that the quickstart pre-trains on."""
import hashlib
import inspect
import json
import shutil
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


def render_clips(folder: Path, world: World, num_clips: int, seed: int,
                 stills: bool = False) -> bool:
    """Render H.264 clips of one digit each, all different, or reuse those of an earlier run.

    In a clip, the digit and the window on the photograph each move from one random pose to
    another, so that little but the digit stays the same between the two halves of a clip. File
    names and their order are unrelated to the digits. Stills are PNG images in other poses.

    Returns:
        False if clips with the same settings were already there; others are replaced.

    Raises:
        ValueError: If there are fewer digits than clips.
        FileExistsError: If ``folder`` contains anything but an earlier rendering.
    """
    if not 1 <= num_clips <= len(world.labels):
        raise InputError(f'num_clips={num_clips} should be 1 to {len(world.labels)}, the number '
                         'of digits: every clip shows a different one.')
    stamp, suffix = folder / STAMP, '.png' if stills else '.mp4'
    # Everything that determines the files.
    code = ''.join(inspect.getsource(part) for part in (digit_scenes, render_clips, write_clip))
    recipe = dict(count=num_clips, seed=seed, num_frames=NUM_FRAMES,
                  code=hashlib.sha256(code.encode()).hexdigest())
    if stamp.is_file() and json.loads(stamp.read_text()) == recipe:
        return False
    foreign = [path.name for path in folder.glob('*') if path.suffix != suffix and path != stamp]
    if foreign:
        raise FileExistsError(f'{folder} is for rendered files only, but contains {foreign[0]}: '
                              'choose another --work-dir.')
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1] if stills else seed)
    digits = rng.permutation(len(world.labels))[:num_clips].tolist()
    for number, digit in enumerate(track(digits, 'Rendering')):
        path, start = folder / f'{number:05d}{suffix}', random_pose(rng)
        if stills:
            Image.fromarray(draw_scene(world, digit, start)).save(path)
            continue
        end, shares = random_pose(rng), np.linspace(0, 1, NUM_FRAMES)
        write_clip(path, [draw_scene(world, digit, start.towards(end, share)) for share in shares])
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
