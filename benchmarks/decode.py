"""What a pair of frames costs to read from a video, next to mmaction2.

Cuts clips out of videos, encodes them as Kinetics is (short side 256, x264, crf 23) with a keyframe
every 250, 30 and 12 frames, and reads pairs of frames, cropped to 224 and flipped, from them: with
mmaction2's DecordInit, SampleFrames and DecordDecode, and with this project's transforms in their
place. Both draw the same frames. Everything else of the pipeline is mmaction2's in both. Last come
packed frames, with the whole pipeline of their config. Clips are in memory, as the system caches
files.

  python benchmarks/run.py decode data/kinetics400/videos_val
  python benchmarks/run.py decode a.mp4 b.mp4 --gop 250 --clips 8
"""
import argparse
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from mmcv.transforms import Compose

from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.commands.preparation.pack_video import PackSettings, pack_video
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex
from vicmae_mm.datasets.annotations.video_lists import NO_LABEL
from vicmae_mm.datasets.packed.index import build_index
from vicmae_mm.datasets.readers import IndexStore, open_video
from vicmae_mm.datasets.readers.container import decode_all, upright
from vicmae_mm.datasets.transforms import SampleFramePair, VideoDecode, VideoInit
from vicmae_mm.utils.errors import InputError

from .clips import add_clips, cut_pieces, encode, find_videos
from .measuring import describe_machine, describe_speed_up, interleave, markdown_table

SUMMARY = "what reading a pair of frames costs, next to mmaction2's reader"
STOCK = 'mmaction2, decord'
MANY_PAIRS = 4
IN_A_ROW = 16
FRAMES_COMPARED = 8  # of a clip

Item = tuple[str, int]  # path of a clip, seed of the frames and crops


@dataclass
class Method:
    """One way of reading.

    Attributes:
        read: Reads from a clip.
        pairs: How many pairs it gets at once.
    """
    read: Callable[[Item], object]
    pairs: int = 1


def stock(clips: Sequence[str], scratch: str) -> Method:
    """mmaction2's own pipeline."""
    return Method(_reading(dict(type='mmaction.DecordInit'), SAMPLE_FRAMES,
                           dict(type='mmaction.DecordDecode')))


def plain(clips: Sequence[str], scratch: str) -> Method:
    """Ours, each opening as if it were the first."""
    return Method(_reading(VideoInit(), SAMPLE_FRAMES, VideoDecode()))


def first_opening(clips: Sequence[str], scratch: str) -> Method:
    """Ours, each opening the first one, which keeps an index for those to come."""
    numbers = count()

    def init(results: dict) -> dict | None:
        return VideoInit(index_dir=os.path.join(scratch, f'first_{next(numbers)}'))(results)

    return Method(_reading(init, SAMPLE_FRAMES, VideoDecode()))


def indexed(clips: Sequence[str], scratch: str) -> Method:
    """Ours, as in every epoch but the first."""
    return Method(_reading(_init_with_indexes(clips, scratch), SAMPLE_FRAMES, VideoDecode()))


def many_pairs(clips: Sequence[str], scratch: str) -> Method:
    """Ours, several pairs from one opening."""
    sample = SampleFramePair(num_pairs=MANY_PAIRS)
    return Method(_reading(_init_with_indexes(clips, scratch), sample, VideoDecode()), MANY_PAIRS)


def packed(clips: Sequence[str], scratch: str) -> Method:
    """Their frames packed, read by the dataset with all that its config does, randomness included.

    Several videos in a row, as a worker of a data loader does: so soon after decoding a video, the
    first of them finds nothing of its own in the processor's caches.
    """
    plan = Plan(os.path.join(scratch, 'packed'), '', [(clip, NO_LABEL) for clip in clips], (),
                PackSettings(), len(clips))
    plan.check()
    for job in plan.jobs_left():
        plan.add(job, pack_video(job))
    build_index(plan.target, plan.names)
    dataset = PackedFrameDataset(plan.target, PACKED_PIPELINE)

    def read(item: Item) -> None:
        first = clips.index(item[0])
        for number in range(first, first + IN_A_ROW):
            dataset[SampleIndex(number % len(clips), item[1], number)]

    return Method(read, IN_A_ROW)


METHODS: dict[str, Callable[[Sequence[str], str], Method]] = {
    STOCK: stock,
    'this project': plain,
    'with index_dir, first opening': first_opening,
    'with index_dir': indexed,
    f'with index_dir, {MANY_PAIRS} pairs': many_pairs,
    'packed frames': packed,
}
SAMPLE_FRAMES = dict(type='mmaction.SampleFrames', clip_len=1, num_clips=2)
REST = (
    dict(type='mmaction.RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
)
PACKED_PIPELINE = (  # of configs/_base_/datasets/k400_packed_frames.py
    dict(type='vicmae_mm.SampleFramePair', mode='distant', num_sections=2),
    dict(type='vicmae_mm.VideoDecode'),
    dict(type='vicmae_mm.PerFrame', transforms=[
        dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.5, 1.0),
             backend='cv2', interpolation='bicubic'),
        dict(type='mmpretrain.RandomFlip', prob=0.5)]),
    dict(type='vicmae_mm.PackFrames', meta_keys=('filename', )),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_clips(parser, 24)
    parser.add_argument('--gop', type=int, nargs='+', default=[250, 30, 12], metavar='FRAMES',
                        help='most frames between keyframes. Default: 250 30 12')
    parser.add_argument('--rounds', type=int, default=3, metavar='N',
                        help='pairs read from a clip by each method. Default: %(default)s')


def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        FileNotFoundError: A path leads nowhere.
        ImportError: decord or PyAV is not installed.
        ValueError: An option is out of range, or no clip can be made.
        RuntimeError: A frame is not that of a decode from the start.
    """
    if min(*args.gop, args.clips, args.rounds) < 1 or args.seconds <= 0:
        raise InputError('--gop, --clips, --rounds and --seconds must be positive.')
    cv2.setNumThreads(1)
    print(describe_machine('mmaction2', 'decord', 'av', 'opencv-python'))
    rows, compared = [], 0
    with TemporaryDirectory() as scratch:
        pieces = cut_pieces(find_videos(args.videos), scratch, args.clips, args.seconds)
        for gop in args.gop:
            folder = os.path.join(scratch, f'gop_{gop}')
            clips = encode(pieces, folder, gop)
            rows += [(gop, *row) for row in _measure(clips, args.rounds, folder)]
            compared += _compare(clips, folder)
    print(f'{len(pieces)} clips of {args.seconds:g} s; {compared:,} frames compared, all equal to '
          'a decode from the start')
    print(markdown_table(('GOP', 'read by', 'CPU ms a pair', 'speed-up (quartiles)'), rows))


def _measure(clips: Sequence[str], rounds: int, folder: str) -> list[tuple[str, str, str]]:
    """Rows of the table: method, milliseconds, speed-up."""
    methods = {name: build(clips, folder) for name, build in METHODS.items()}
    items = [(clip, seed) for seed in range(rounds) for clip in clips]
    seconds = interleave({name: method.read for name, method in methods.items()}, items)
    return _rows({name: seconds[name] / method.pairs for name, method in methods.items()})


def _rows(seconds: Mapping[str, np.ndarray]) -> list[tuple[str, str, str]]:
    rows = []
    for name, times in seconds.items():
        rows.append((name, f'{1000 * np.median(times):.2f}',
                     describe_speed_up(seconds[STOCK], times)))
    return rows


def _reading(*reading: dict | Callable[[dict], dict | None]) -> Callable[[Item], dict]:
    """A function that reads from a clip, crops and flips."""
    pipeline = Compose([*reading, *REST])

    def read(item: Item) -> dict:
        path, seed = item
        random.seed(seed)
        np.random.seed(seed)
        return pipeline(dict(filename=path, start_index=0, modality='RGB'))

    return read


def _init_with_indexes(clips: Sequence[str], scratch: str) -> VideoInit:
    init = VideoInit(index_dir=os.path.join(scratch, 'indexes'))
    for clip in clips:
        init(dict(filename=clip))['video_reader'].close()
    return init


def _compare(clips: Sequence[str], scratch: str) -> int:
    """Compare frames read by their numbers with a decode from the start; how many were."""
    rng = np.random.default_rng(0)
    store = IndexStore(os.path.join(scratch, 'indexes'))
    compared = 0
    for clip in clips:
        truth = [upright(frame) for frame in decode_all(clip)]
        for kept in (None, store):
            numbers = rng.integers(0, len(truth), FRAMES_COMPARED).tolist()
            with open_video(clip, store=kept) as reader:
                frames = reader.get_frames(numbers)
            for number, frame in zip(numbers, frames, strict=True):
                if not np.array_equal(frame, truth[number]):
                    raise RuntimeError(f'{clip}: frame {number} is not that of a decode from the '
                                       'start: this is a bug, please report it.')
            compared += len(frames)
    return compared
