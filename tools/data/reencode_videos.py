"""Encode the videos of a folder again: smaller, and several times faster to read frames from.

    python tools/data/reencode_videos.py data/kinetics400/train data/kinetics400_256/train

DST gets the layout of SRC, every video as H.264 mp4 without sound, its short side at most 256
pixels and a keyframe every 12 frames. Frames and their times are kept, rotation is applied. SRC is
only read. Stopped and started again, it goes on. Some videos go first, and tell how much space
and time all will take: stop it with Ctrl-C if that is too much.

Videos that can't be read are left out and listed in DST/bad_videos.jsonl.

Exit status: 0 all done, 1 some videos are bad, 2 an error, 130 stopped with Ctrl-C.
"""
import argparse
import os.path as osp
import sys
from contextlib import closing

from vicmae_mm.commands.preparation.check_videos import summarize, write_bad_videos
from vicmae_mm.commands.preparation.converting import (
    add_convert_options,
    convert,
    human_size,
    total_size,
)
from vicmae_mm.commands.preparation.reencode import Job, Settings, reencode
from vicmae_mm.commands.preparation.reencode_plan import check_settings, plan_jobs
from vicmae_mm.utils.processes.pool import WorkerError

PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower',
           'veryslow')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='folder of videos, searched at any depth')
    parser.add_argument('target', metavar='DST', help='folder for the new ones')
    parser.add_argument('--gop', type=int, default=12, metavar='FRAMES',
                        help='most frames between keyframes (default: %(default)s)')
    parser.add_argument('--crf', type=int, default=23, help='quality of x264, 0 (lossless) to 51 '
                        '(default: %(default)s)')
    parser.add_argument('--preset', default='veryfast', choices=PRESETS, metavar='PRESET',
                        help=f'effort of x264: {", ".join(PRESETS)} (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of x264 for one video (default: %(default)s)')
    add_convert_options(parser, timeout=3600.)
    args = parser.parse_args()
    if min(args.gop, args.threads, args.workers, args.timeout) <= 0 or args.short_side < 2:
        parser.error('--gop, --threads, --workers and --timeout must be positive, '
                     '--short-side at least 2')
    if not 0 <= args.crf <= 51:
        parser.error('--crf must be 0 to 51')
    return args


def convert_all(jobs: list[Job], args: argparse.Namespace, bad: dict[str, str]) -> None:
    """Run the jobs, and add videos that can't be read to ``bad``."""
    with closing(convert(reencode, jobs, args.workers, args.timeout, 'Encoding', args.target,
                         lambda job: total_size([job.source]))) as results:
        for job, done in results:
            if done.problem:
                bad[job.source] = done.problem


def main() -> int:
    """Encode, report, and return the exit status."""
    args = parse_args()
    settings = Settings(args.short_side, args.gop, args.crf, args.preset, args.threads)
    bad: dict[str, str] = {}
    stopped = False
    try:
        jobs = plan_jobs(args.source, args.target, settings)
        check_settings(args.target, settings)
        todo = [job for job in jobs if not osp.exists(job.target)]
        print(f'{len(jobs):,} videos, {human_size(total_size(job.source for job in jobs))} in '
              f'{args.source}; {len(jobs) - len(todo):,} are done already.')
        try:
            convert_all(todo, args, bad)
        except KeyboardInterrupt:
            stopped = True
        write_bad_videos(osp.join(args.target, 'bad_videos.jsonl'), bad, args.source)
    except (OSError, ValueError, WorkerError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    report(jobs, bad, args.target)
    if stopped:
        print('Stopped before all were done. Run the same command to go on.')
        return 130
    return 1 if bad else 0


def report(jobs: list[Job], bad: dict[str, str], target: str) -> None:
    """Print what is done, and what it saves."""
    done = [job for job in jobs if osp.exists(job.target)]
    before = total_size(job.source for job in done)
    after = total_size(job.target for job in done)
    print(f'{len(done):,} of {len(jobs):,} videos are in {target}: {human_size(before)} before, '
          f'{human_size(after)} after' + (f' ({after / before:.0%})' if before else ''))
    renamed = sum(osp.basename(job.source) != osp.basename(job.target) for job in done)
    if renamed:
        print(f'{renamed:,} got another extension (.mp4): make the lists anew from {target}')
    if bad:
        print(f'{len(bad):,} videos are bad -> {osp.join(target, "bad_videos.jsonl")}')
        print(summarize(bad.values()))


if __name__ == '__main__':
    sys.exit(main())
