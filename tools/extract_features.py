"""Write frozen features of images and videos to a file, or of videos over time to a folder.

    python tools/extract_features.py CHECKPOINT clip.mp4 photos/ --level avg --out features.npz
    python tools/extract_features.py CHECKPOINT videos/ --fps 5 --window 16 --stride 8 --out data/

Without --fps, both formats contain the same: ``features``, float32, one row per file, and the names
of the files, as the array ``names`` in .npz and as JSON in the metadata of .safetensors:

    data = numpy.load('features.npz'); data['features'], data['names']
    file = safetensors.safe_open('features.safetensors', 'pt')
    file.get_tensor('features'), json.loads(file.metadata()['names'])

With --fps, frames of each video at that rate are encoded, or windows of them. A folder gets
features/VIDEO.npy, (C, T) as action-segmentation tools read it, and times/VIDEO.npz with ``times``
(T, 2): seconds to the first and the last frame of each window. A .npz has ``features`` (N, C),
``times`` (N, 2) and ``names`` (N,) of all videos.
"""
import argparse
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import numpy as np
from safetensors.torch import save

from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.apis.features import FileFeatures, encoding_over_time, list_files
from vicmae_mm.commands.options import add_device, add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.datasets.annotations.files_below import files_below, report_scan
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS as IMAGE_EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.base import is_machines
from vicmae_mm.utils.atomic_files import atomic_write, check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.progress import Progress

SUFFIXES = ('.npz', '.safetensors')
NO_FOLDERS = ('.npy', '.safetensors', '.pt', '.pth', '.pkl', '.h5', '.json', '.csv')


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
    parser.add_argument(
        '--out', required=True, type=Path,
        help='a .npz or .safetensors file; with --fps, a folder or a .npz file')
    parser.add_argument(
        '--config', help='its config; by default the one next to the checkpoint')
    parser.add_argument(
        '--batch-size', default=16, type=int,
        help='files, with --fps frames or clips, per forward pass (default: %(default)s)')
    parser.add_argument(
        '--num-frames', type=int, help='frames per video that an image encoder sees (default: 8)')
    parser.add_argument(
        '--num-workers', type=int,
        help='processes that read files; 0 reads in this one (default: 0)')
    over_time = parser.add_argument_group('features over time, of videos only')
    over_time.add_argument(
        '--fps', type=float, help="frames per second; a rate above a video's gives each frame once")
    over_time.add_argument(
        '--window', type=int, help='frames per window (default: 1; the clip of a video encoder)')
    over_time.add_argument(
        '--stride', type=int, help='frames from one window to the next (default: --window)')
    add_trust(parser)
    add_device(parser)
    args = parser.parse_args()
    if args.fps is None and (args.window, args.stride) != (None, None):
        raise InputError('--window and --stride count frames at a rate: they need --fps.')
    if args.fps is not None and (args.num_frames, args.num_workers) != (None, None):
        raise InputError('--num-frames and --num-workers do not apply to --fps.')
    return args


def check_out(out: Path, over_time: bool) -> None:
    """Refuse a path to which no features can be written, before anything is computed."""
    if over_time and out.suffix in NO_FOLDERS:
        raise InputError(f'{out} is neither a folder nor a .npz file, which --fps needs.')
    if not over_time and out.suffix not in SUFFIXES:
        raise InputError(f'{out} has none of the suffixes {" and ".join(SUFFIXES)}.')
    check_writable(out if out.suffix in SUFFIXES else out / 'features' / 'a.npy')


def write(file: BinaryIO, suffix: str, result: FileFeatures) -> None:
    """Write features and names in the format of a suffix."""
    if suffix == '.npz':
        np.savez(file, features=result.features.numpy(), names=np.array(result.names))
    else:
        file.write(save(dict(features=result.features), dict(names=json.dumps(result.names))))


def extract_files(args: argparse.Namespace, bad: list[str]) -> int:
    """Write one row per file; return the number of files."""
    # Opened first: an output that cannot be written should fail before anything is computed.
    with atomic_write(args.out) as part, open(part, 'wb') as file:
        result = extract_features(
            args.checkpoint, args.paths, args.level, config=args.config, device=args.device,
            batch_size=args.batch_size,
            num_frames=8 if args.num_frames is None else args.num_frames,
            num_workers=args.num_workers or 0, on_bad_file=bad.append)
        write(file, args.out.suffix, result)
    print(f'Wrote {args.out}: features {tuple(result.features.shape)} of '
          f'{len(result.names)} files')
    return len(result.names)


def name_videos(paths: list[str]) -> dict[str, str]:
    """A name of each video, by its file: its path below the folder that contains all of them.

    Raises:
        ValueError: A path is an image, or two videos would have the same name.
    """
    if not all(paths):
        raise InputError('A path is empty.')
    given = [Path(path).expanduser().absolute() for path in paths]
    if images := [path for path in given
                  if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()]:
        raise InputError(f'{images[0]} is an image: only videos have features over time (--fps).')
    root = os.path.commonpath([path if path.is_dir() else path.parent for path in given])
    files = {file: os.path.relpath(file, root) for path in given for file in (
        videos_below(path) if path.is_dir() else list_files(path))}
    short = Counter(os.path.splitext(name)[0] for name in files.values())
    # Without dots: the tools use a name up to its first.
    names = {file: (stem if short[stem := os.path.splitext(name)[0]] == 1 else name).replace(
        '.', '_') for file, name in files.items()}
    for name, count in Counter(names.values()).items():
        if count > 1:
            twice = ' and '.join(file for file in names if names[file] == name)
            raise InputError(f'{twice} would both be {name}.npy: rename one.')
    return names


def videos_below(folder: Path) -> list[str]:
    """Every video below a folder."""
    ignored: Counter[str] = Counter()
    found = files_below(str(folder), VIDEO_EXTENSIONS, ignored)
    report_scan(str(folder), found, 'videos', ignored)
    if not found:
        raise InputError(f'There is no video in {folder}.')
    return [str(folder / name) for name in found]


def write_video(out: Path, name: str, encode: Callable, file: str, source: str) -> None:
    """Write features/NAME.npy and times/NAME.npz, each complete or not at all."""
    times, vectors = encode(file)
    with atomic_write(out / f'features/{name}.npy') as part, open(part, 'wb') as features:
        for number, vector in enumerate(show(vectors, file, len(times))):
            if not number:  # columns follow each other, so they can be written as they come
                np.lib.format.write_array_header_1_0(features, dict(
                    descr='<f4', fortran_order=True, shape=(len(vector), len(times))))
            features.write(vector.numpy().astype('<f4').tobytes())
        # Before the features are renamed: those without times are not of this command.
        with atomic_write(out / f'times/{name}.npz') as other, open(other, 'wb') as file_of_times:
            np.savez(file_of_times, times=times, source=source)


def is_done(out: Path, name: str, source: str) -> bool:
    """Whether the files of a video are there, made of the same video with the same settings.

    Raises:
        ValueError: There are features of something else.
    """
    features = out / f'features/{name}.npy'
    if not features.exists():
        return False
    with suppress(OSError, ValueError, KeyError, BadZipFile), (
            np.load(out / f'times/{name}.npz')) as kept:
        if kept['source'] == source:
            return True
    raise InputError(f'{features} is not of this video, checkpoint and settings: remove it, or '
                     'name another folder with --out.')


def show(items: Iterator[Any], file: str, total: int) -> Iterator[Any]:
    """Iterate with a progress bar."""
    with Progress(os.path.basename(file), total, transient=True) as progress:
        for item in items:
            yield item
            progress.advance()


def extract_over_time(args: argparse.Namespace, bad: list[str]) -> int:
    """Write the features over time of all videos; return the number of videos."""
    names = name_videos(args.paths)
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    encode = encoding_over_time(
        encoder, args.fps, args.level, args.window, args.stride, args.batch_size)
    made_by = [*map(os.path.abspath, (args.checkpoint, args.config or '')),
               *file_state(args.checkpoint), args.level, args.fps, args.window, args.stride]
    sources = {file: json.dumps([file, *file_state(file), *made_by]) for file in names}
    is_file = args.out.suffix == '.npz'
    todo = [file for file, name in names.items()
            if is_file or not is_done(args.out, name, sources[file])]
    if len(todo) < len(names):
        print(f'{len(names) - len(todo)} of {len(names)} videos are in {args.out} already.')
    kept: list[tuple[np.ndarray, ...]] = []
    for file in todo:
        try:
            if is_file:
                times, vectors = encode(file)
                kept.append((np.stack([*show(vectors, file, len(times))]), times,
                             np.full(len(times), file)))
            else:
                write_video(args.out, names[file], encode, file, sources[file])
        except (VideoError, InputError) as error:
            if is_machines(error):
                raise
            bad.append(str(error))
    if len(bad) == len(names):
        raise InputError(f'None of the {len(bad)} videos can be read.')
    if is_file:
        features, all_times, rows = map(np.concatenate, zip(*kept, strict=True))
        with atomic_write(args.out) as part, open(part, 'wb') as out:
            np.savez(out, features=features, times=all_times, names=rows)
    if todo:
        print(f'Wrote {args.out}: features over time of {len(todo) - len(bad)} videos')
    return len(names) - len(bad)


def main() -> None:
    """Write the features, and list the inputs of which there are none."""
    args = parse_args()
    over_time, bad = args.fps is not None, list[str]()
    check_out(args.out, over_time)
    try:
        good = (extract_over_time if over_time else extract_files)(args, bad)
    except ValueError:
        for reason in bad:
            print(reason, file=sys.stderr)
        raise
    if bad:
        sys.exit('\n'.join([*bad, f'error: {len(bad)} of {len(bad) + good} files could not be '
                            f'read: {args.out} contains the rest']))


if __name__ == '__main__':
    run_tool(main)
