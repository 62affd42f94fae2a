"""Cost of reading a pair of frames from a video, next to mmaction2's reader.

Cuts clips out of videos, encodes them like Kinetics (short side 256, x264, crf 23) with a keyframe
every 250, 30 and 12 frames, and reads pairs of frames, cropped to 224 and flipped, from them: with
mmaction2's DecordInit, SampleFrames and DecordDecode, and with this project's transforms instead.
All draw the same frames, others for each clip and round; the rest of the pipeline is mmaction2's in
all, also with torchcodec and decord2. Then come the complete pipelines of the configs, for videos
and for packed frames, and these frames as JPEG files, read with mmaction2's pipeline, webdataset
and torchvision. Clips are in memory, as the system caches files. Packages that are not installed
are left out; benchmarks/peers.py says how to install them.

  vicmae benchmark decode data/kinetics400/videos_val

With --long, opens long videos by a kept index instead, next to 10 s of each:

  vicmae benchmark decode --long data/recordings/a.mp4 data/recordings/a.mkv
"""
import argparse
import os
import random
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from mmcv.transforms import Compose

from vicmae_mm.datasets.readers import IndexStore, open_video
from vicmae_mm.datasets.readers.container import decode_all, upright
from vicmae_mm.datasets.transforms import SampleFramePair, VideoDecode, VideoInit

from .clips import add_clips, cut_pieces, encode
from .output import load, mib, print_machine, print_table
from .peers import Peer, decord1, find_peers, transforms
from .stored_frames import IN_A_ROW, config_pipeline, read_packed, read_peers, read_raw
from .timing import Clock, interleave, speed_up

STOCK, WITH_INDEX = 'mmaction2, decord', 'with an index'
VIDEO_CONFIG, PACKED_CONFIG = 'the config, with an index', 'the config, packed frames'
STORED = PACKED_CONFIG, 'mmaction2, JPEG files', 'webdataset, cv2', 'torchvision v2'
MANY_PAIRS = 4
ROUNDING = 1.5  # levels of 255
SAMPLE_FRAMES = dict(type='mmaction.SampleFrames', clip_len=1, num_clips=2)
REST = (
    dict(type='mmaction.RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    dict(type='mmaction.FormatShape', input_format='NCHW'))


def build_methods(clips: Sequence[str], scratch: str, others: Mapping[str, Peer | None]
                  ) -> dict[str, tuple[Callable | None, int]]:
    """Build the functions that read, given path and seed, and the number of pairs they return.

    They are None for packages that are not installed.
    """
    numbers = count()

    def first_opening(results: dict) -> dict | None:
        # another folder each time: there never is an index yet
        return VideoInit(index_dir=os.path.join(scratch, f'first_{next(numbers)}'))(results)

    indexed = VideoInit(index_dir=os.path.join(scratch, 'indexes'))
    # the first opening keeps the index that all later ones use
    for clip in clips:
        indexed(dict(filename=clip))['video_reader'].close()
    stock = dict(type='mmaction.DecordInit'), SAMPLE_FRAMES, dict(type='mmaction.DecordDecode')
    pairs, decode = SampleFramePair(num_pairs=MANY_PAIRS), VideoDecode()
    packed, raw = (os.path.join(scratch, name) for name in ('packed', 'raw'))
    methods: dict[str, tuple[Callable | None, int]] = {STOCK: (_reading(*stock), 1)}
    for name, peer in others.items():
        methods[name] = peer and _reading(*transforms(peer, SAMPLE_FRAMES)), 1
    return methods | {
        'without an index': (_reading(VideoInit(index_dir=None), SAMPLE_FRAMES, decode), 1),
        'first opening': (_reading(first_opening, SAMPLE_FRAMES, decode), 1),
        WITH_INDEX: (_reading(indexed, SAMPLE_FRAMES, decode), 1),
        f'{WITH_INDEX}, {MANY_PAIRS} pairs': (_reading(indexed, pairs, decode), MANY_PAIRS),
        VIDEO_CONFIG: (_reading(indexed, *config_pipeline('k400_frame_pairs')[1:], rest=()), 1),
        PACKED_CONFIG: (read_packed(clips, packed), IN_A_ROW),
        STORED[1]: (read_raw(clips, packed, raw, REST), IN_A_ROW)} | {
            name: (read, IN_A_ROW) for name, read in read_peers(clips, raw).items()}


def _reading(*reading: dict | Callable[[dict], dict | None], rest: Sequence[dict] = REST
             ) -> Callable[[str, int], dict]:
    pipeline = Compose([*reading, *rest])

    def read(path: str, seed: int) -> dict:
        random.seed(seed)
        np.random.seed(seed)
        return pipeline(dict(filename=path, start_index=0, modality='RGB'))
    return read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_clips(parser, 24, [250, 30, 12])
    parser.add_argument('--long', action='store_true', help='open long videos by a kept index')
    parser.add_argument('--decord2', metavar='FOLDER',
                        help='folder that decord2 was installed into (pip install --target)')


def run(args: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    print_machine('mmaction2', 'decord', 'av', 'opencv-python', 'torchcodec', 'webdataset')
    if args.long:
        print_table(('video', 'first opening (s)', 'open 10 s (ms)', 'open (ms)',
                     'ratio (quartiles)', 'pair of 10 s (ms)', 'pair (ms)', 'memory (MiB)'),
                    (_open_long(video, args) for video in args.videos))
        return
    others = find_peers(args.decord2)  # before mmaction2 imports decord
    rows, compared = [], 0
    with TemporaryDirectory() as scratch:
        pieces = cut_pieces(args.videos, scratch, args.clips, args.seconds)
        for gop in args.gop:
            folder = os.path.join(scratch, f'gop_{gop}')
            clips = encode(pieces, folder, gop)
            methods = build_methods(clips, folder, others)
            seconds = interleave(
                {name: read for name, (read, _) in methods.items() if read}, Clock('cpu'),
                # Each call has a seed of its own: the frames of one draw would decide the mean.
                calls=[(clip, round_ * len(clips) + number) for round_ in range(args.rounds)
                       for number, clip in enumerate(clips)])
            wrong = _compare_others(clips, others)
            rows += [(gop, *row, wrong.get(row[0], '')) for row in _rows({
                name: seconds[name] / pairs if read else None
                for name, (read, pairs) in methods.items()})]
            compared += _compare(clips, folder)
    print(f'{len(pieces)} clips of {args.seconds:g} s; {compared:,} frames compared, all equal to '
          f'a decode from the start; {load()}')
    print_table(('GOP', 'read by', 'CPU ms per pair', 'speed-up (quartiles)',
                 f'{WITH_INDEX} is faster by', 'the config is faster by', 'other frames'), rows)


def _open_long(video: str, args: argparse.Namespace) -> tuple[str, ...]:
    """Time opening a video at a segment by its kept index, and a pair, next to a piece of it."""
    with TemporaryDirectory() as scratch:
        piece, = cut_pieces([video], scratch, 1, args.seconds, same_container=True)
        store, times = IndexStore(os.path.join(scratch, 'indexes')), {}
        start = time.process_time()
        open_video(video, store=store).close()
        first = time.process_time() - start
        with open_video(piece, store=store), open_video(video, store=store) as opened:
            length = opened.frame_times[-1] - args.seconds

        def read(path: str, begin: float, gap: int) -> None:
            with open_video(path, store=store) as reader:
                frame = int(reader.frame_times.searchsorted(
                    begin if path == video else begin % (0.8 * args.seconds)))
                frame = min(frame, reader.num_frames - 1 - gap)
                if gap:
                    reader.get_frames([frame, frame + gap])

        begins = np.random.default_rng(0).uniform(0, length, 40 * args.rounds).tolist()
        for gap in (0, 15):
            times[gap] = interleave({path: partial(read, path) for path in (piece, video)},
                                    Clock('cpu'), calls=[(begin, gap) for begin in begins])
        cells = [f'{1000 * np.median(times[gap][path]):.2f}'
                 for gap in (0, 15) for path in (piece, video)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return (os.path.basename(video), f'{first:.2f}', *cells[:2],
                speed_up(times[0][video], times[0][piece]), *cells[2:], mib(peak))


def _rows(seconds: Mapping[str, np.ndarray | None]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, times in seconds.items():
        if times is None:
            rows.append((name, 'not installed', '', '', ''))
            continue
        reading, config = ('', PACKED_CONFIG) if name in STORED else (WITH_INDEX, VIDEO_CONFIG)
        ratios = [speed_up(times, ours) if (ours := seconds.get(base)) is not None else ''
                  for base in (reading, config)]
        rows.append((name, f'{1000 * np.median(times):.2f}',
                     speed_up(np.asarray(seconds[STOCK]), times), *ratios))
    return rows


def _compare_others(clips: Sequence[str], others: Mapping[str, Peer | None]) -> dict[str, str]:
    """How many frames of other readers are not those of a decode from the start.

    A frame counts as right if its pixels are within ``ROUNDING`` of the right one on average:
    libraries convert colours by versions of their own.
    """
    readers = {name: peer for name, peer in others.items() if peer} | {STOCK: decord1()}
    wrong = dict.fromkeys(readers, 0)
    for number, clip in enumerate(clips):
        truth = [upright(frame) for frame in decode_all(clip)]
        numbers = np.random.default_rng(number).integers(0, len(truth), 8).tolist()
        for name in wrong:
            frames = readers[name].get_frames(readers[name].open(clip), numbers)
            wrong[name] += sum(bool(np.abs(frame - truth[i].astype(float)).mean() > ROUNDING)
                               for i, frame in zip(numbers, frames, strict=True))
    return {name: f'{count} of {8 * len(clips)}' for name, count in wrong.items()}


def _compare(clips: Sequence[str], scratch: str) -> int:
    """Compare frames read by number with a decode from the start; return how many."""
    rng = np.random.default_rng(0)
    store, compared = IndexStore(os.path.join(scratch, 'indexes')), 0
    for clip in clips:
        truth = [upright(frame) for frame in decode_all(clip)]
        for kept in (None, store):
            numbers = rng.integers(0, len(truth), 8).tolist()
            with open_video(clip, store=kept) as reader:
                frames = reader.get_frames(numbers)
            for number, frame in zip(numbers, frames, strict=True):
                if not np.array_equal(frame, truth[number]):
                    raise RuntimeError(f'{clip}: frame {number} is not that of a decode from the '
                                       'start: this is a bug, please report it.')
            compared += len(frames)
    return compared
