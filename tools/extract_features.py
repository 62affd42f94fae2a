"""Write the features of images and videos to files.

    vicmae features CHECKPOINT clip.mp4 photos/ --level avg --out features.npz
    vicmae features CHECKPOINT videos/ --fps 5 --window 16 --stride 8 --out data/

Without --fps, the output has one row of ``features`` (float32) per file, and the names of the
files: in .npz as the array ``names``, in .safetensors as JSON in the metadata:

    data = numpy.load('features.npz'); data['features'], data['names']
    file = safetensors.safe_open('features.safetensors', 'pt')
    file.get_tensor('features'), json.loads(file.metadata()['names'])

With --fps, frames of each video, or windows of them, are encoded at that rate. In a folder, each
video has a file features/VIDEO.npy of shape (C, T), as action-segmentation tools read it, and
times/VIDEO.npz with ``times`` (T, 2): seconds to the first and the last frame of each window. A
.npz file has ``features`` (N, C), ``times`` (N, 2) and ``names`` (N,) of all videos.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.apis.features import encoding_over_time
from vicmae_mm.commands import feature_files
from vicmae_mm.commands.options import add_checkpoint, add_device, add_trust, between, positive
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.errors import SOME_ARE_BAD, InputError
from vicmae_mm.utils.file_state import file_state


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint(parser)
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='images, videos, or folders of them')
    parser.add_argument(
        '--level', default='cls', choices=['cls', 'avg', 'tokens'],
        help='the class token, the mean of the patch tokens, or all tokens (default: %(default)s)')
    parser.add_argument('--out', required=True, type=Path,
                        help='a .npz or .safetensors file; with --fps, a folder or a .npz file')
    parser.add_argument(
        '--batch-size', default=16, type=positive,
        help='files, with --fps frames or clips, per forward pass (default: %(default)s)')
    parser.add_argument(
        '--frames', type=positive, help='frames per video that an image encoder sees (default: 8)')
    parser.add_argument(
        '--workers', type=between(int, 0, 128),
        help='processes that read files; 0: this one (default: 0)')
    over_time = parser.add_argument_group('features over time, of videos only')
    over_time.add_argument(
        '--fps', type=between(float, 1e-3, 1000),
        help="frames per second; a rate above a video's gives each frame once")
    over_time.add_argument(
        '--window', type=positive,
        help='frames per window (default: 1; the clip of a video encoder)')
    over_time.add_argument(
        '--stride', type=positive, help='frames from one window to the next (default: --window)')
    add_trust(parser)
    add_device(parser)
    args = parser.parse_args()
    if args.fps is None and (args.window, args.stride) != (None, None):
        raise InputError('--window and --stride count frames at a rate: they need --fps.')
    if args.fps is not None and (args.frames, args.workers) != (None, None):
        raise InputError('--frames and --workers do not apply to --fps.')
    return args


def extract_files(args: argparse.Namespace, bad: list[str]) -> int:
    """Write one row per file; return the number of files."""
    result = extract_features(
        args.checkpoint, args.paths, args.level, config=args.config, device=args.device,
        batch_size=args.batch_size, num_frames=8 if args.frames is None else args.frames,
        num_workers=args.workers or 0, on_bad_file=bad.append)
    feature_files.write_features(args.out, result)
    print(f'Wrote {args.out}: features {tuple(result.features.shape)} of '
          f'{len(result.names)} files')
    return len(result.names)


def extract_over_time(args: argparse.Namespace, bad: list[str]) -> int:
    """Write the features over time of all videos; return the number of videos."""
    names = feature_files.name_videos(args.paths)
    encode = encoding_over_time(
        load_backbone(args.checkpoint, args.config, args.device), args.fps, args.level,
        args.window, args.stride, args.batch_size)
    settings = [*map(os.path.abspath, (args.checkpoint, args.config or '')),
                *file_state(args.checkpoint), args.level, args.fps, args.window, args.stride]
    return feature_files.write_over_time(args.out, names, encode, settings, bad)


def main() -> int | None:
    """Write the features, and list the inputs of which there are none; return the status."""
    args = parse_args()
    over_time, bad = args.fps is not None, list[str]()
    feature_files.check_output(args.out, over_time)
    try:
        good = (extract_over_time if over_time else extract_files)(args, bad)
    except ValueError:
        for reason in bad:
            print(reason, file=sys.stderr)
        raise
    if bad:
        print(*bad, f'error: {len(bad)} of {len(bad) + good} files could not be read: {args.out} '
              'contains the rest', sep='\n', file=sys.stderr)
    return SOME_ARE_BAD if bad else None


if __name__ == '__main__':
    run_tool(main)
