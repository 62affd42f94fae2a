"""Convert weights to and from other libraries.

    vicmae convert epoch_800.pth my-encoder --to hf      # a folder for transformers
    vicmae convert epoch_800.pth my-encoder --to timm    # a folder for timm
    vicmae convert epoch_800.pth model.safetensors --to hf-vit --encoder-only
    vicmae convert epoch_800.pth mae.pth --to mae --drop projector.
    vicmae convert vit_base.safetensors mine.pth

With --to hf, DST is a folder with the weights, their config, the preprocessing and a model card;
decoder and projector are left out. The same holds for --to timm if DST has no suffix of a file.
docs/use_the_encoder.md shows how to use such a folder.

Values are unchanged, bit for bit. A tensor that has no place in the other family is an error,
unless --drop or --encoder-only leaves it out. Nothing in a file is executed. Optimizer states and
options are not converted. docs/checkpoints.md lists the families.
"""
import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import vicmae_mm  # noqa: F401  (patches upstream faults)
from vicmae_mm.apis.hub_folders import FOLDERS, write_hub_folder
from vicmae_mm.checkpoints.conversion import NAMES, Conversion, convert_with_report
from vicmae_mm.checkpoints.conversion.families import CONVERTIBLE, OURS
from vicmae_mm.checkpoints.conversion.names import shorten
from vicmae_mm.checkpoints.fit import check_finite_weights
from vicmae_mm.checkpoints.weight_files import (
    check_suffix,
    read_weights_and_extras,
    write_weights,
)
from vicmae_mm.checkpoints.weight_folders import PICKLED, SAFE
from vicmae_mm.commands.options import add_trust, positive
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.atomic_files import check_writable
from vicmae_mm.utils.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f'families: {", ".join(NAMES)}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, metavar='SRC', help='.safetensors or a pickled file')
    parser.add_argument(
        'dst', type=Path, metavar='DST',
        help='.safetensors, or .pth, .pt, .bin, .ckpt (pickled), or a folder')
    parser.add_argument(
        '--from', dest='source', choices=NAMES, metavar='FAMILY',
        help='default: inferred from the names in the file')
    parser.add_argument(
        '--to', dest='target', choices=(*NAMES, 'hf'), metavar='FAMILY', default=OURS,
        help='default: %(default)s; hf: a folder of the family that fits the encoder')
    parser.add_argument(
        '--config', help='the config that SRC was trained with, for a folder; by default the one '
        'next to SRC, else what its tensors show')
    parser.add_argument(
        '--drop', nargs='+', default=[], metavar='PREFIX',
        help='leave out tensors whose names in SRC begin with this, e.g. projector. head.')
    parser.add_argument(
        '--encoder-only', action='store_true', help='leave out decoder, projector and head')
    parser.add_argument(
        '--frames', type=positive, default=16,
        help='frames per clip of a VideoMAE network, whose files lack the position table '
        '(default: %(default)s)')
    parser.add_argument(
        '--size', type=positive, default=224, help='side of its frames (default: %(default)s)')
    parser.add_argument(
        '--grid', type=positive, nargs=2, metavar=('ROWS', 'COLUMNS'),
        help="resize the position table of images to this many patches, as timm's and DINOv2's own "
        'code does; other tables are resized when they are loaded')
    parser.add_argument('--force', action='store_true', help='replace DST if it exists')
    add_trust(parser)
    return parser.parse_args()


def main() -> None:
    """Convert a file and report what became of its content."""
    args = parse_args()
    if args.target == 'hf' or (args.target in FOLDERS and not args.dst.suffix):
        return write_folder(args)
    if args.config:
        raise InputError('--config is for a folder: name DST without a suffix.')
    check_suffix(args.dst)
    if args.dst.exists() and not args.force:
        raise FileExistsError(f'{args.dst} exists: --force replaces it.')
    check_writable(args.dst)
    weights, extras = read_weights_and_extras(args.src)
    check_finite_weights(weights, str(args.src))
    try:
        result = convert_with_report(
            weights, args.source, args.target, drop=args.drop, encoder_only=args.encoder_only,
            num_frames=args.frames, img_size=args.size,
            grid=args.grid and tuple(args.grid))
    except ValueError as error:
        raise InputError(f'{args.src}: {error}') from error
    write_weights(args.dst, result.state, CONVERTIBLE[args.target].wrapper)
    print(summary(args, result, f', {len(weights)} tensors', extras))


def write_folder(args: argparse.Namespace) -> None:
    """Convert a file to a folder, and say what to do with it."""
    if args.dst.suffix in (*PICKLED, SAFE):
        raise InputError(f'--to {args.target} writes a folder: name DST without {args.dst.suffix}.')
    if args.source or args.drop or args.grid or (args.frames, args.size) != (16, 224):
        raise InputError('--from, --drop, --grid, --frames and --size are for files: write '
                         'one with them, and convert that to a folder.')
    if args.dst.is_dir() and not args.force:
        raise FileExistsError(f'{args.dst} exists: --force replaces converted weights in it.')
    result = write_hub_folder(args.src, args.dst, args.target, config=args.config,
                              encoder_only=args.encoder_only)
    print(summary(args, result))
    print('Read README.md in it before you publish it: it names your data, and has no licence yet.')


def summary(args: argparse.Namespace, result: Conversion, read: str = '',
            extras: Sequence[str] = ()) -> str:
    """What was read, mapped, left out, added and written."""
    size = sum(tensor.numel() for tensor in result.state.values()) / 1e6
    mapped = (f'{part} {count}' for part, count in sorted(result.parts.items()))
    lines = [f'{args.src}: {result.source}{read}']
    lines += [f'  {title:10} {text}' for title, text in (
        ('mapped:', ', '.join(mapped)), ('left out:', shorten(result.left_out)),
        ('added:', '; '.join(result.added)), ('not read:', ', '.join(extras))) if text]
    return '\n'.join([*lines, f'{args.dst}: {result.target}, {len(result.state)} tensors, '
                      f'{size:.1f} M numbers'])


if __name__ == '__main__':
    run_tool(main)
