"""Find videos that cannot be read, before training does.

    vicmae check-videos data/kinetics400/videos_train
    vicmae check-videos data/kinetics400/kinetics400_train_list_videos.txt \\
        --prefix data/kinetics400/videos_train --clean-list data/kinetics400/train_clean.txt

Opens every video as training does and decodes its first, middle and last frame, in parallel.
A file that crashes or hangs the decoder affects only itself. Run the same command again to continue
after a stop: unchanged files are not checked twice.

With --segment-seconds, as in the dataset, it decodes these frames of each segment of a video, and
the last one before each keyframe. A video that is damaged in the middle only loses the damaged
segments.

Writes bad_videos.jsonl (path and reason of each bad file; set it as exclude_file of the dataset to
exclude them from training) and checked_videos.jsonl (progress).

Exit status: 0 no bad videos, 3 some bad videos, 1 an error (also if the machine could not read some
videos, as when a network disk fails), 130 stopped with Ctrl-C.
"""
import argparse
import os
import os.path as osp
import shlex
import signal
from contextlib import closing
from functools import partial

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.options import between, positive, positive_number
from vicmae_mm.commands.preparation.check_videos import (
    CheckRecord,
    Damage,
    check_video,
    report_videos,
    write_bad_videos,
)
from vicmae_mm.commands.preparation.lists import write_labelled
from vicmae_mm.commands.preparation.video_sources import add_source, read_source
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.datasets.readers import MachineError
from vicmae_mm.utils.atomic_files import check_writable
from vicmae_mm.utils.errors import SOME_ARE_BAD
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.processes.pool import FailedCall, num_cores, run_isolated
from vicmae_mm.utils.progress import Progress


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser, 'FOLDER_OR_LIST')
    parser.add_argument('--full', action='store_true', help='decode every frame')
    parser.add_argument('--segment-seconds', type=between(float, .1, 1e6), default=0., metavar='S',
                        help='check each segment of S seconds, for training on segments')
    parser.add_argument('--out', metavar='FOLDER', help='output folder (default: '
                        'work_dirs/check_videos/<name of the folder or list>)')
    parser.add_argument('--work-dir', dest='out', help=argparse.SUPPRESS)  # as --out was called
    parser.add_argument('--clean-list', metavar='FILE', help='write a list without the bad videos')
    parser.add_argument('--workers', type=positive, default=num_cores(), metavar='N',
                        help='videos checked in parallel (default: %(default)s)')
    parser.add_argument('--timeout', type=positive_number, metavar='SECONDS',
                        help='time limit per file (default: 60, with --full or '
                        '--segment-seconds 600)')
    args = parser.parse_args()
    args.timeout = args.timeout or (600. if args.full or args.segment_seconds else 60.)
    name = osp.splitext(osp.basename(osp.abspath(args.source)))[0]
    args.out = args.out or osp.join('work_dirs', 'check_videos', name)
    return args


def check(paths: list[str], record: CheckRecord, args: argparse.Namespace,
          bad: dict[str, Damage], unread: dict[str, str]) -> None:
    """Check the videos without a current record.

    Adds all bad ones to ``bad``, and those that the machine could not read to ``unread``.
    """
    todo = []
    for path in dict.fromkeys(paths):
        if not record.is_current(path, args.full, args.segment_seconds):
            todo.append(path)
        elif (reason := record.reason(path)) is not None:
            bad[path] = reason
    if len(todo) < len(paths):
        print(f'{len(paths) - len(todo):,} of {len(paths):,} videos were already checked.')
    function = partial(check_video, every_frame=args.full,
                       segment_seconds=args.segment_seconds)
    workers = min(args.workers, len(todo))
    with Progress('Checking', len(todo)) as progress, \
            closing(run_isolated(function, todo, workers, args.timeout)) as results:
        for path, result in results:
            progress.advance(bad=result is not None)
            if isinstance(result, MachineError):
                unread[path] = result.reason
                continue
            reason = result.reason if isinstance(result, FailedCall) else result
            if reason is not None:
                bad[path] = reason
            # A crash or time-out may be the machine's fault, so it is checked again next time.
            if not isinstance(result, FailedCall):
                record.add(path, file_state(path), args.full, reason, args.segment_seconds)


def main() -> int:
    """Check the videos and write the results; return the exit status."""
    args = parse_args()
    bad: dict[str, Damage] = {}
    unread: dict[str, str] = {}
    stopped = False
    folder, videos, _ = read_source(args.source, args.prefix, args.allow_outside_root)
    bad_file = osp.join(args.out, 'bad_videos.jsonl')
    check_writable(bad_file)
    if args.clean_list:
        check_writable(args.clean_list)
    record = CheckRecord(osp.join(args.out, 'checked_videos.jsonl'))
    with closing(record):
        try:
            check([osp.join(folder, path) for path, _ in videos], record, args, bad, unread)
        except KeyboardInterrupt:
            stopped = True
    write_bad_videos(bad_file, bad, args.source)
    # Otherwise a clean list would contain videos that were never checked.
    left_out: list[str] = []
    if args.clean_list and not stopped and not unread:
        good = [video for video in videos
                if not isinstance(bad.get(osp.join(folder, video[0])), str)]
        left_out = write_labelled(args.clean_list, good)
        print(f'List without the bad videos: {args.clean_list}')
    status = report_videos(len(videos), bad, bad_file, unread, stopped)
    if bad and not stopped:
        print('To exclude them from training: --cfg-options '
              f'train_dataloader.dataset.exclude_file={shlex.quote(bad_file)}')
    return status or (SOME_ARE_BAD if left_out else 0)


if __name__ == '__main__':
    run_tool(main)
