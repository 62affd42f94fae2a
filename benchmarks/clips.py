"""Clips to measure with: pieces of real videos, encoded like those of a dataset."""
import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import av
import numpy as np

from vicmae_mm.commands.preparation.reencode import ReencodeJob, ReencodeSettings, reencode
from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, open_container, video_stream
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import FailedCall, num_cores, run_isolated
from vicmae_mm.utils.progress import Progress

from .options import add_number

# Kinetics as it is distributed: 340x256, x264's default effort and quality.
KINETICS = ReencodeSettings(short_side=256, crf=23, preset='medium')
TIMEOUT = 600.  # seconds for encoding a clip


def add_clips(parser: argparse.ArgumentParser, count: int, gop: Any) -> None:
    """Add what to cut clips from and how, with defaults for ``--clips`` and ``--gop``."""
    parser.add_argument('videos', nargs='+', metavar='FOLDER_OR_FILE', help='real videos')
    add_number(parser, '--clips', count, 'how many clips to cut, at most')
    add_number(parser, '--seconds', 10., 'length of a clip', 'S')
    add_number(parser, '--gop', gop, 'most frames between keyframes', 'FRAMES')
    add_number(parser, '--rounds', 3, 'how often everything is measured')


def cut_pieces(paths: Sequence[str], folder: str, count: int, seconds: float,
               same_container: bool = False) -> list[str]:
    """Copy up to ``count`` random pieces out of videos and folders of videos, without encoding.

    They are mkv, or with ``same_container`` mp4 or mov if the video is, fragmented if it is, and
    have whole groups of pictures. Each video gives one piece, more only if there are too few; it
    has 0.9 of ``seconds`` at least.
    """
    videos: list[str] = []
    for path in paths:
        videos += [path] if os.path.isfile(path) else [
            os.path.join(path, name) for name, _ in scan_folder(path)[0]]
    per_video: list[list[str]] = []
    reasons: list[str] = []
    for number in np.random.default_rng(0).permutation(len(videos)):
        if len(per_video) == count:
            break
        try:
            per_video.append(_cut(
                videos[number], f'{folder}/{number}', count, seconds, same_container))
        except VideoError as error:
            reasons.append(str(error))
    pieces = [path for paths in zip_longest(*per_video) for path in paths if path][:count]
    if reasons:
        print(f'{len(reasons)} videos left out, the first: {reasons[0]}')
    if not pieces:
        raise InputError(f'None of {len(videos):,} videos has {seconds:g} s that can be cut out: '
                         'give longer ones, or a smaller --seconds.')
    return pieces


def encode(pieces: Sequence[str], folder: str, gop: int) -> list[str]:
    """Encode pieces as clips with a keyframe at least every ``gop`` frames; return their paths."""
    jobs = [ReencodeJob(piece, os.path.join(folder, f'{i}.mp4'), replace(KINETICS, gop=gop))
            for i, piece in enumerate(pieces)]
    with closing(run_isolated(reencode, jobs, min(num_cores(), len(jobs)), TIMEOUT)) as results, \
            Progress(f'Encoding with a keyframe every {gop} frames', len(jobs)) as progress:
        for _, done in results:
            progress.advance(bad=isinstance(done, FailedCall) or bool(done.problem))
    clips = [job.target for job in jobs if os.path.exists(job.target)]
    if not clips:
        raise InputError(f'None of {len(pieces):,} pieces of the videos can be encoded.')
    return clips


def _cut(video: str, target: str, count: int, seconds: float, same_container: bool) -> list[str]:
    """Copy the first ``count`` pieces of a video, each from a keyframe on."""
    with open_container(video) as container:
        stream = video_stream(container, video)
        pieces: list[list[Any]] = []  # packets
        begin = float('-inf')
        for packet in demux(container, stream, video):
            if packet.dts is None and packet.pts is not None and not pieces:
                continue  # matroska has none of the first packets
            if packet.pts is None or packet.dts is None:
                raise VideoError(video, 'cannot be cut: it has no time stamps')
            time = float(packet.pts * packet.time_base)
            if packet.is_keyframe and time >= begin + seconds:
                if len(pieces) == count:
                    break
                begin = time
                pieces.append([])
            # to be read as they are, pieces end before a keyframe: B-frames need what follows them
            if pieces and begin <= time and (same_container or time < begin + seconds):
                pieces[-1].append(packet)
        times = [[packet.pts * packet.time_base for packet in piece] for piece in pieces]
        # the last piece may be shorter
        pieces = [piece for piece, shown in zip(pieces, times, strict=True)
                  if max(shown) - min(shown) >= 0.9 * seconds]
        if not pieces:
            raise VideoError(video, f'is shorter than {seconds:g} s')
        is_mp4 = same_container and container.format.name.startswith('mov')
        return [_write(piece, stream, f'{target}_{i}.{"mp4" if is_mp4 else "mkv"}')
                for i, piece in enumerate(pieces)]


def _write(piece: list[Any], stream: Any, path: str) -> str:
    begin = piece[0].dts
    # the header of a fragmented mp4 lists no packets
    fragments = {} if stream.frames else dict(movflags='frag_keyframe+empty_moov+default_base_moof')
    try:
        with av.open(path, 'w', options=fragments if path.endswith('mp4') else {}) as out:
            copy = out.add_stream_from_template(stream)
            for packet in piece:
                packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
                packet.stream = copy
                out.mux(packet)
    except av.FFmpegError as error:
        raise VideoError(stream.container.name, f'cannot be cut ({error.strerror})') from error
    return path
