"""Clips to measure with: pieces of real videos, encoded like those of a dataset."""
from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.commands.preparation.reencode import ReencodeJob, ReencodeSettings, reencode
from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, open_container, video_stream
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.failed_call import FailedCall
from vicmae_mm.utils.processes.pool import num_cores, run_isolated
from vicmae_mm.utils.progress import Progress

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Kinetics as it is handed around: 340x256, x264's default effort and quality.
KINETICS = ReencodeSettings(short_side=256, crf=23, preset='medium')
WHOLE_ENOUGH = 0.9  # of the length asked for; copied pieces begin at keyframes
TIMEOUT = 600.  # seconds for encoding a clip


def add_clips(parser: argparse.ArgumentParser, count: int) -> None:
    """Add the options that say what to cut clips from, how many (by default) and how long."""
    parser.add_argument('videos', nargs='+', metavar='FOLDER_OR_FILE', help='real videos')
    parser.add_argument('--clips', type=int, default=count, metavar='N',
                        help='how many clips to cut, at most; default: %(default)s')
    parser.add_argument('--seconds', type=float, default=10., metavar='S',
                        help='length of a clip; default: %(default)s')


def find_videos(paths: Sequence[str]) -> list[str]:
    """The files among some paths, and the videos in those that are folders.

    Raises:
        FileNotFoundError: One leads nowhere.
        ValueError: A folder holds no video.
    """
    videos = []
    for path in paths:
        if os.path.isfile(path):
            videos.append(path)
        else:
            videos += [os.path.join(path, name) for name, _ in scan_folder(path)[0]]
    return videos


def cut_pieces(videos: Sequence[str], folder: str, count: int, seconds: float) -> list[str]:
    """Copy pieces out of videos, drawn at random, without encoding them.

    As many videos as can be give one piece, more only if there are too few.

    Args:
        videos: Where to cut from.
        folder: Where to write to.
        count: How many pieces, at most.
        seconds: How long each is, at least nine tenths of it.

    Returns:
        Their paths.

    Raises:
        ValueError: No video is long enough.
    """
    of_each: list[list[str]] = []
    reasons: list[str] = []
    for number in np.random.default_rng(0).permutation(len(videos)):
        if len(of_each) == count:
            break
        try:
            of_each.append(
                _cut(videos[number], os.path.join(folder, str(number)), count, seconds))
        except VideoError as error:
            reasons.append(str(error))
    cut = [path for paths in zip_longest(*of_each) for path in paths if path][:count]
    if reasons:
        print(f'{len(reasons)} videos left out, the first: {reasons[0]}')
    if not cut:
        raise InputError(f'none of {len(videos):,} videos has {seconds:g} s that can be cut out: '
                         'give longer ones, or a smaller --seconds.')
    return cut


def encode(pieces: Sequence[str], folder: str, gop: int) -> list[str]:
    """Encode pieces as clips with a keyframe at least every ``gop`` frames.

    Returns:
        Paths of the clips.

    Raises:
        ValueError: None of the pieces can be encoded.
    """
    jobs = [ReencodeJob(piece, os.path.join(folder, f'{i}.mp4'), replace(KINETICS, gop=gop))
            for i, piece in enumerate(pieces)]
    workers = min(num_cores(), len(jobs))
    with closing(run_isolated(reencode, jobs, workers, TIMEOUT)) as results, \
            Progress(f'Encoding with a keyframe every {gop} frames', len(jobs)) as progress:
        for _, done in results:
            progress.advance(bad=isinstance(done, FailedCall) or bool(done.problem))
    clips = [job.target for job in jobs if os.path.exists(job.target)]
    if not clips:
        raise InputError(f'none of {len(pieces):,} pieces of the videos can be encoded.')
    return clips


def _cut(video: str, target: str, count: int, seconds: float) -> list[str]:
    """Copy the first pieces of a video, each from a keyframe on."""
    with open_container(video) as container:
        stream = video_stream(container, video)
        pieces: list[list[Packet]] = []
        begin = float('-inf')
        for packet in demux(container, stream, video):
            if packet.pts is None or packet.dts is None:
                raise VideoError(video, 'cannot be cut: it has no time stamps')
            time = float(packet.pts * packet.time_base)
            if packet.is_keyframe and time >= begin + seconds:
                if len(pieces) == count:
                    break
                begin = time
                pieces.append([])
            if pieces and begin <= time < begin + seconds:
                pieces[-1].append(packet)
        pieces = [piece for piece in pieces if _length(piece) >= WHOLE_ENOUGH * seconds]
        if not pieces:
            raise VideoError(video, f'is shorter than {seconds:g} s')
        return [_write(piece, stream, f'{target}_{i}.mkv') for i, piece in enumerate(pieces)]


def _length(piece: list[Packet]) -> float:
    times = [packet.pts for packet in piece if packet.pts is not None]
    return float((max(times) - min(times)) * piece[0].time_base)


def _write(piece: list[Packet], stream: VideoStream, path: str) -> str:
    import av
    begin = piece[0].dts or 0
    try:
        with av.open(path, 'w') as out:
            copy = out.add_stream_from_template(stream)
            for packet in piece:
                packet.pts, packet.dts = (packet.pts or 0) - begin, (packet.dts or 0) - begin
                packet.stream = copy
                out.mux(packet)
    except av.FFmpegError as error:
        raise VideoError(stream.container.name, f'cannot be cut ({error.strerror})') from error
    return path
