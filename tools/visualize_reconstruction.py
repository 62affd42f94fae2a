"""Draw what a model reconstructs of videos and images.

    vicmae reconstruct work_dirs/run/latest.pth clip.mp4 photo.jpg

A video gives two rows, for its frames at 1/4 and 3/4 of its length; an image gives one row. The
columns are the frame, the masked frame, the reconstruction, and the reconstruction with the
visible patches pasted in.
"""
import argparse
import os
import signal
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from PIL import Image

from vicmae_mm.apis import load_model, reconstruction_picture
from vicmae_mm.commands.options import add_device, add_trust, between
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.visualization import check_picture, write_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='a .pth file of a pre-training run')
    parser.add_argument('inputs', nargs='+', metavar='VIDEO_OR_IMAGE')
    parser.add_argument(
        '--config', help='its config; by default the one in the work dir of the checkpoint')
    parser.add_argument(
        '--out', default='reconstruction.png', type=Path,
        help='a .png or .jpg file, or a folder for reconstruction.png (default: %(default)s)')
    parser.add_argument('--seed', type=between(int, 0, 2**63 - 1), default=0,
                        help='of the masks (default: %(default)s)')
    parser.add_argument(
        '--mask-ratio', type=between(float, 0, 1),
        help="share of hidden patches (default: the model's own)")
    add_trust(parser)
    add_device(parser)
    return parser.parse_args()


def picture_file(out: Path) -> Path:
    """The file to write: in a folder, unless ``out`` has the suffix of some format of images."""
    is_picture = out.suffix.lower() in Image.registered_extensions() and not out.is_dir()
    return out if is_picture else out / 'reconstruction.png'


def main() -> None:
    """Draw the picture and print its path."""
    args = parse_args()
    out = picture_file(args.out)
    check_picture(out)
    model = load_model(args.checkpoint, args.config, args.device)
    picture = reconstruction_picture(model, args.inputs, args.seed, args.mask_ratio)
    write_picture(out, picture)
    print(f'Wrote {out}')


if __name__ == '__main__':
    run_tool(main)
