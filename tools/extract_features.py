"""Write frozen features of images and videos into a file.

    python tools/extract_features.py CHECKPOINT clip.mp4 photos/ --level avg --out features.npz

Both formats hold the same: ``features``, float32, a row a file, and the names of the files, as
the array ``names`` in .npz and as JSON in the metadata of .safetensors:

    data = numpy.load('features.npz'); data['features'], data['names']
    file = safetensors.safe_open('features.safetensors', 'pt')
    file.get_tensor('features'), json.loads(file.metadata()['names'])
"""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from vicmae_mm import cli  # isort: skip  (first: vicmae_mm mends mmengine for what follows)
from vicmae_mm.apis import extract_features
from vicmae_mm.apis.features import FileFeatures

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
        '--batch-size', default=16, type=int, help='files a forward pass (default: %(default)s)')
    parser.add_argument(
        '--num-frames', default=8, type=int,
        help='frames of a video that an image encoder sees (default: %(default)s)')
    parser.add_argument(
        '--num-workers', default=0, type=int,
        help='processes that read files; 0 reads in this one (default: %(default)s)')
    cli.add_device(parser)
    return parser.parse_args()


def open_part(out: Path) -> Path:
    """Make the file that is to become ``out``, now rather than when all is computed."""
    if out.suffix not in SUFFIXES:
        raise ValueError(f'{out} has none of the suffixes {" and ".join(SUFFIXES)}.')
    if out.is_dir():
        raise IsADirectoryError(f'{out} is a folder: name a file.')
    if out.parent.exists() and not out.parent.is_dir():
        raise NotADirectoryError(f'{out.parent} is no folder: {out} can not be written.')
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'{out.stem}.part{out.suffix}')
    part.touch()
    return part


def write(part: Path, result: FileFeatures) -> None:
    """Write features and names."""
    if part.suffix == '.npz':
        np.savez(part, features=result.features.numpy(), names=np.array(result.names))
    else:
        save_file(dict(features=result.features), part, dict(names=json.dumps(result.names)))


def main() -> None:
    """Write the file, and say which inputs are not in it."""
    args = parse_args()
    part = open_part(args.out)
    bad: list[str] = []
    try:
        result = extract_features(
            args.checkpoint, args.paths, args.level, config=args.config, device=args.device,
            batch_size=args.batch_size, num_frames=args.num_frames, num_workers=args.num_workers,
            on_bad_file=bad.append)
        write(part, result)
        os.replace(part, args.out)
    except ValueError:
        for reason in bad:
            print(reason, file=sys.stderr)
        raise
    finally:
        part.unlink(missing_ok=True)
    print(f'Wrote {args.out}: features {tuple(result.features.shape)} of '
          f'{len(result.names)} files')
    if bad:
        total = len(bad) + len(result.names)
        sys.exit('\n'.join([*bad, f'error: {len(bad)} of {total} files could not be read: '
                            f'{args.out} holds the others']))


if __name__ == '__main__':
    cli.run(main)
