"""Write frozen features of images and videos to a file.

    python tools/extract_features.py CHECKPOINT clip.mp4 photos/ --level avg --out features.npz

Both formats contain the same: ``features``, float32, one row per file, and the names of the
files, as the array ``names`` in .npz and as JSON in the metadata of .safetensors:

    data = numpy.load('features.npz'); data['features'], data['names']
    file = safetensors.safe_open('features.safetensors', 'pt')
    file.get_tensor('features'), json.loads(file.metadata()['names'])
"""
import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import numpy as np
from safetensors.torch import save

from vicmae_mm.apis import extract_features
from vicmae_mm.apis.features import FileFeatures
from vicmae_mm.commands.options import add_device, add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.atomic_files import atomic_write, check_writable
from vicmae_mm.utils.errors import InputError

SUFFIXES = ('.npz', '.safetensors')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoint', help='of this package, mmpretrain, mmaction2, timm, Hugging Face, ...')
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='images, videos, or folders of them')
    parser.add_argument(
        '--level', default='cls', choices=['cls', 'avg', 'tokens'],
        help='the class token, the mean of the patch tokens, or all tokens (default: %(default)s)')
    parser.add_argument('--out', required=True, type=Path, help='a .npz or .safetensors file')
    parser.add_argument(
        '--config', help='its config; by default the one next to the checkpoint')
    parser.add_argument(
        '--batch-size', default=16, type=int, help='files per forward pass (default: %(default)s)')
    parser.add_argument(
        '--num-frames', default=8, type=int,
        help='frames per video that an image encoder sees (default: %(default)s)')
    parser.add_argument(
        '--num-workers', default=0, type=int,
        help='processes that read files; 0 reads in this one (default: %(default)s)')
    add_trust(parser)
    add_device(parser)
    return parser.parse_args()


def check_out(out: Path) -> None:
    """Refuse a path to which no features can be written, before anything is computed."""
    if out.suffix not in SUFFIXES:
        raise InputError(f'{out} has none of the suffixes {" and ".join(SUFFIXES)}.')
    check_writable(out)


def write(file: BinaryIO, suffix: str, result: FileFeatures) -> None:
    """Write features and names in the format of a suffix."""
    if suffix == '.npz':
        np.savez(file, features=result.features.numpy(), names=np.array(result.names))
    else:
        file.write(save(dict(features=result.features), dict(names=json.dumps(result.names))))


def main() -> None:
    """Write the file, and list the inputs that are not in it."""
    args = parse_args()
    check_out(args.out)
    bad: list[str] = []
    try:
        # Opened first: an output that cannot be written should fail before anything is computed.
        with atomic_write(args.out) as part, open(part, 'wb') as file:
            result = extract_features(
                args.checkpoint, args.paths, args.level, config=args.config, device=args.device,
                batch_size=args.batch_size, num_frames=args.num_frames,
                num_workers=args.num_workers, on_bad_file=bad.append)
            write(file, args.out.suffix, result)
    except ValueError:
        for reason in bad:
            print(reason, file=sys.stderr)
        raise
    print(f'Wrote {args.out}: features {tuple(result.features.shape)} of '
          f'{len(result.names)} files')
    if bad:
        total = len(bad) + len(result.names)
        sys.exit('\n'.join([*bad, f'error: {len(bad)} of {total} files could not be read: '
                            f'{args.out} contains the rest']))


if __name__ == '__main__':
    run_tool(main)
