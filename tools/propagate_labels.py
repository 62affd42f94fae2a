"""Dense evaluation with frozen features: labels of the first frame, propagated through videos.

    python tools/propagate_labels.py CHECKPOINT --dataset davis --data-root data/DAVIS
    python tools/propagate_labels.py CHECKPOINT --dataset jhmdb --data-root data/JHMDB
    python tools/propagate_labels.py CHECKPOINT --dataset vip --data-root data/VIP_Fine --pictures

J&F on DAVIS-2017, PCK on JHMDB, mIoU on VIP, with the protocol of SiamMAE and CropMAE; layouts and
sources are in docs/dense.md. Videos that were scored with the same settings are not scored again.
"""
import argparse
import hashlib
import json
import math
import os
import signal
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.label_propagation.datasets import Davis, Jhmdb, LabelledVideo, Vip
from vicmae_mm.commands.options import add_device, add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer.cached_features import checkpoint_key
from vicmae_mm.datasets.readers.image_or_video import decode_image
from vicmae_mm.evaluation.label_propagation import LabelPropagation
from vicmae_mm.models import Encoder
from vicmae_mm.utils.atomic_files import atomic_write, check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress, say
from vicmae_mm.visualization import draw_grid

DATASETS = dict(davis=Davis, jhmdb=Jhmdb, vip=Vip)
COLUMNS, WIDTH = 5, 384  # of a picture: frames, and px of one
DOT = 4  # px around a joint
# The colours of DAVIS and Pascal VOC: the bits of a number, every third one for each channel.
PALETTE = np.stack([sum((np.arange(256) >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
                    for channel in range(3)], axis=1).astype(np.uint8)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoint', help='of this package, mmpretrain, mmaction2, timm, Hugging Face, ...')
    parser.add_argument(
        '--config', help='its config; by default the one next to the checkpoint')
    parser.add_argument('--dataset', required=True, choices=DATASETS)
    parser.add_argument('--data-root', required=True, help='its folder')
    parser.add_argument('--videos', nargs='+', metavar='NAME', help='default: all of the split')
    parser.add_argument('--size', nargs='+', type=int, metavar='PX', help='height and width of the '
                        'input, or its long side (default: davis 480 880, jhmdb 320 320, vip 880)')
    parser.add_argument('--temperature', type=float, default=0.7, help='default: %(default)s')
    parser.add_argument('--top-k', type=int, help='cells that vote (default: 7, for vip 10)')
    parser.add_argument('--radius', type=float, default=20, help='of the search in the frames '
                        'before, in cells (default: %(default)s)')
    parser.add_argument('--context-frames', type=int, default=20, help='frames before, besides the '
                        'first (default: %(default)s)')
    parser.add_argument('--out-dir', type=Path, help='folder for tables, masks and pictures '
                        '(default: work_dirs/label_propagation/RUN_CHECKPOINT)')
    parser.add_argument('--masks', action='store_true', help='write masks as DAVIS has them')
    parser.add_argument('--pictures', action='store_true', help='write a picture of each video')
    add_trust(parser)
    add_device(parser)
    return parser.parse_args()


def read_frame(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) RGB."""
    try:
        return decode_image(path, upright=False)
    except (OSError, ValueError) as error:
        raise InputError(f'The frame {path} cannot be read: {error}') from error


def input_size(given: Any, image: np.ndarray) -> tuple[int, int]:
    """Height and width of the input; of a long side, the other one in multiples of 64 px."""
    if isinstance(given, tuple):
        return given
    sides = image.shape[:2]
    height, width = (given if side == max(sides) else max(64, given * side // max(sides) // 64 * 64)
                     for side in sides)
    return height, width


@torch.no_grad()
def propagate(dataset: Davis, video: LabelledVideo, encoder: Encoder, settings: LabelPropagation,
              size: Any, progress: Progress) -> list[np.ndarray]:
    """Predictions for all frames of a video."""
    def maps() -> Iterator[Tensor]:
        for path in video.frames:
            pixels = torch.from_numpy(read_frame(path)).to(encoder.mean.device)
            side = input_size(size, pixels)
            image = F.interpolate(pixels.permute(2, 0, 1)[None].float(), side, mode='bilinear')
            features = encoder.feature_map(image)[0].float()
            # A network for clips sees a still one.
            yield features.mean(1) if features.ndim == 4 else features
            progress.advance()

    frames = maps()
    start = next(frames)
    first = dataset.first_labels(video, start.shape[1:])
    return [dataset.predict(video, labels)
            for labels in settings(chain([start], frames), first)]


def as_mask(prediction: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The prediction as a mask; joints are dots."""
    if prediction.dtype == np.uint8:
        return prediction
    mask = np.zeros(shape[:2], np.uint8)
    for number, (x, y) in enumerate(prediction.T, 1):
        if math.isfinite(x):
            top, left = max(0, round(y) - DOT), max(0, round(x) - DOT)
            mask[top:round(y) + DOT + 1, left:round(x) + DOT + 1] = number
    return mask


def draw(path: Path, video: LabelledVideo, predicted: list[np.ndarray]) -> None:
    """A picture of some frames, the propagated labels over them."""
    chosen = np.unique(np.linspace(0, len(video.frames) - 1, COLUMNS).round().astype(int))
    cells = []
    for number in chosen:
        frame = read_frame(video.frames[number])
        mask = as_mask(predicted[number], frame.shape)
        if mask.shape != frame.shape[:2]:
            frame = np.asarray(Image.fromarray(frame).resize(mask.shape[::-1]))
        mixed = np.where(mask[..., None] > 0, frame // 2 + PALETTE[mask] // 2, frame)
        cells.append(np.asarray(Image.fromarray(mixed).resize(
            (WIDTH, round(WIDTH * mask.shape[0] / mask.shape[1])))))
    picture = draw_grid([f'frame {number + 1}' for number in chosen], [(video.name, [cells])])
    with atomic_write(path) as part:
        Image.fromarray(picture).save(part, 'PNG')


def video_key(video: LabelledVideo, *settings: object) -> str:
    """Hash the settings, and names, sizes and dates of the files."""
    content = hashlib.sha256(repr(settings).encode())
    for path in (*video.frames, *video.labels):
        status = path.stat()
        content.update(os.fsencode(f'{path} {status.st_size} {status.st_mtime_ns}\n'))
    return content.hexdigest()


def read_results(path: Path, keys: dict[str, str]) -> dict[str, Any]:
    """Earlier results of videos, by name, if they have these keys."""
    try:
        videos = json.loads(path.read_text(encoding='utf-8'))['videos']
        return {name: videos[name] for name, key in keys.items()
                if name in videos and videos[name]['key'] == key}
    except (OSError, ValueError, LookupError, TypeError):
        return {}  # they can be computed again, so a damaged file is no error


def write_results(path: Path, title: str, dataset: Davis, results: dict[str, Any],
                  about: dict[str, Any]) -> list[str]:
    """Write the JSON file and the table, whose lines are returned."""
    mean = dataset.average([result['scores'] for result in results.values()])
    rows = {**{name: dataset.average([result['scores']]) for name, result in results.items()},
            '**all**': mean}
    lines = [f'# {title}', '', f'| video | {" | ".join(mean)} |',
             '|---' + '|---:' * len(mean) + '|',
             *(f'| {name} | {" | ".join(f"{100 * value:.2f}" for value in row.values())} |'
               for name, row in rows.items())]
    # JSON has no NaN.
    metrics = {name: {key: None if math.isnan(value) else value for key, value in row.items()}
               for name, row in rows.items()}
    content = dict(about, all=metrics.pop('**all**'), videos={
        name: dict(result, metrics=metrics[name]) for name, result in results.items()})
    for suffix, text in (('.json', json.dumps(content, indent=1)), ('.md', '\n'.join(lines))):
        with atomic_write(path.with_suffix(suffix)) as part:
            part.write_text(text + '\n', encoding='utf-8')
    return lines


def outputs(folder: Path, video: LabelledVideo, args: argparse.Namespace) -> list[Path]:
    """The files to write for a video: its picture and masks."""
    name = video.name.replace('/', '_')
    masks = folder / 'masks' / video.name
    return [folder / 'pictures' / f'{name}.png'] * args.pictures + [
        masks / f'{path.stem}.png' for path in video.frames] * args.masks


def write_outputs(paths: list[Path], video: LabelledVideo, predicted: list[np.ndarray]) -> None:
    """Write :func:`outputs`."""
    if len(paths) % len(predicted):
        draw(paths.pop(0), video, predicted)
    for path, mask in zip(paths, predicted, strict=False):
        image = Image.fromarray(mask)
        image.putpalette(PALETTE.ravel().tolist())
        with atomic_write(path, sync=False) as part:
            image.save(part, 'PNG')


def main() -> None:
    """Score the videos; print and save the table."""
    args = parse_args()
    dataset = DATASETS[args.dataset](args.data_root)
    if args.masks and args.dataset == 'jhmdb':
        raise InputError('--masks: JHMDB has joints, not masks. --pictures shows them.')
    size = tuple(args.size or ()) or dataset.size
    if isinstance(size, tuple) and (len(size) > 2 or min(size) < 1):
        raise InputError('--size should be height and width of the input, or its long side.')
    size = size[0] if isinstance(size, tuple) and len(size) == 1 else size
    settings = LabelPropagation(args.temperature, dataset.top_k if args.top_k is None else
                                args.top_k, args.radius, args.context_frames)
    videos = {video.name: video for video in dataset.videos()}
    unknown = set(args.videos or ()) - videos.keys()
    if unknown or not videos:
        raise InputError(f'--videos: the split has no {", ".join(sorted(unknown))}.' if videos else
                         f'{dataset.paths[0]} lists no video.')
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    checkpoint = Path(args.checkpoint).resolve()
    out = args.out_dir or Path('work_dirs/label_propagation',
                               f'{checkpoint.parent.name}_{checkpoint.stem}')
    table = out / f'{args.dataset}.json'
    check_writable(table)
    key = checkpoint_key(args.checkpoint, args.config)
    keys = {name: video_key(video, key, settings, size) for name, video in videos.items()}
    results = read_results(table, keys)
    about = dict(dataset=args.dataset, checkpoint=args.checkpoint, input_size=size,
                 **vars(settings))
    todo = [videos[name] for name in args.videos or videos if name not in results or not all(
        path.exists() for path in outputs(out, videos[name], args))]
    with Progress('Propagating', sum(len(video.frames) for video in todo)) as progress:
        for video in todo:
            predicted = propagate(dataset, video, encoder, settings, size, progress)
            write_outputs(outputs(out, video, args), video, predicted)
            results[video.name] = dict(key=keys[video.name],
                                       scores=dataset.score(video, predicted))
            results = {name: results[name] for name in videos if name in results}
            title = f'{args.dataset}, {len(results)} of {len(videos)} videos: {args.checkpoint}'
            write_results(table, title, dataset, results, about)
            name, value = next(iter(dataset.average([results[video.name]['scores']]).items()))
            say(f'{video.name}: {name} {100 * value:.2f}')
    title = f'{args.dataset}, {len(results)} of {len(videos)} videos: {args.checkpoint}'
    print('\n'.join(write_results(table, title, dataset, results, about)))
    say(f'Wrote {table} and {table.with_suffix(".md")}')


if __name__ == '__main__':
    run_tool(main)
