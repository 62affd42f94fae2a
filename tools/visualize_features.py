"""Draw what the patches of images and videos encode.

    vicmae visualize work_dirs/run/latest.pth clip.mp4 photos --size 448
    vicmae visualize latest.pth clip.mp4 --point 120 80 --mp4

Draws, for each image or frame, the features of its patches as colours, their similarity to those
of one patch, and the attention of the class token. All images are in photos.png; each video has a
picture of some of its frames, or an mp4. docs/pictures.md says how to read them.
"""
import argparse
import os
import re
import signal
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import av
import numpy as np
import torch

from vicmae_mm.apis import load_backbone, map_features
from vicmae_mm.commands.options import add_checkpoint, add_device, add_trust, positive
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.atomic_files import atomic_write, check_writable
from vicmae_mm.utils.progress import track
from vicmae_mm.visualization import MAPS, MappedFile, draw_feature_maps, write_picture

KINDS = [kind for kind in MAPS if kind != 'input']
FRAMES, FILM_FRAMES = 8, 60


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint(parser)
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='images, videos, or folders of them')
    parser.add_argument(
        '--kinds', nargs='+', choices=KINDS, metavar='KIND',
        help=f'which of {", ".join(KINDS)} (default: all that the network has)')
    parser.add_argument(
        '--point', nargs=2, type=coordinate, default=(0.5, 0.5), metavar=('X', 'Y'),
        help='the patch to compare with the others, right and down: whole numbers are pixels of '
        'the file, 0.0 to 1.0 shares of its sides (default: the centre)')
    parser.add_argument(
        '--size', type=positive, metavar='PX', help='short side of the input in pixels, rounded to '
        'patches: more than in training gives finer maps (default: as in training)')
    parser.add_argument(
        '--frames', type=positive, metavar='N', help='frames of each video, evenly spread '
        f'(default: {FRAMES}, and {FILM_FRAMES} with --mp4)')
    parser.add_argument('--mp4', action='store_true', help='draw videos as videos')
    parser.add_argument(
        '--out', default='feature_maps', type=Path, help='a folder (default: %(default)s)')
    add_trust(parser)
    add_device(parser)
    args = parser.parse_args()
    args.frames = (FILM_FRAMES if args.mp4 else FRAMES) if args.frames is None else args.frames
    return args


def coordinate(text: str) -> float:
    """A number of pixels if it is whole, else a share."""
    return int(text) if re.fullmatch(r'[+-]?[0-9]+', text) else float(text)


def main() -> None:
    """Draw all images in one picture, and each video in one of its own; print their paths."""
    args = parse_args()
    check_writable(args.out / 'photos.png')
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    if 'attention' in (args.kinds or ()):
        encoder.class_attention(torch.zeros(1, 3, *np.broadcast_to(encoder.image_size, 2)).to(
            encoder.mean.device))  # a network without one is refused
    files = map_features(
        encoder, args.paths, point=args.point, size=args.size, num_frames=args.frames)
    pictures = {'photos.png': [file for file in files if file.times is None]}
    for file in (file for file in files if file.times is not None):
        name, number = Path(file.name).stem, 1
        suffix = '.mp4' if args.mp4 else '.png'
        while name + suffix in pictures:
            number += 1
            name = f'{Path(file.name).stem}-{number}'
        pictures[name + suffix] = [file]
    for name, shown in pictures.items():
        if shown:
            write(args.out / name, shown, args.checkpoint, args.kinds)
            print(f'Wrote {args.out / name}')


def write(path: Path, files: list[MappedFile], checkpoint: str, kinds: list[str]) -> None:
    """Write a picture of images or of a video, or an mp4 of a video."""
    maps, times = files[0].maps, files[0].times
    patch = maps['input'].shape[1] // maps['similarity'].shape[1]
    title = (f'{Path(checkpoint).name}: {"photos" if times is None else files[0].name}, '
             f'in patches of {patch} px')
    if path.suffix == '.png':
        return write_picture(path, draw_feature_maps(files, title, kinds))
    # As long as the video
    rate = (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else 1
    pictures = (draw_feature_maps(files, title, kinds, slice(at, at + 1))
                for at in track(range(len(times)), f'Drawing {path.name}'))
    with atomic_write(path) as part:
        encode(pictures, part, Fraction(rate).limit_denominator(1000))


def encode(pictures: Iterable[np.ndarray], path: Path, rate: Fraction) -> None:
    """Write pictures, uint8 (H, W, 3) RGB, as H.264."""
    with av.open(str(path), 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.pix_fmt, stream.options = 'yuv420p', {'crf': '18'}
        for number, picture in enumerate(pictures):
            height, width = (side // 2 * 2 for side in picture.shape[:2])  # must be even
            if number == 0:
                stream.height, stream.width = height, width
            frame = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode(None))


if __name__ == '__main__':
    run_tool(main)
