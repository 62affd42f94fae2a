"""Encode videos again: smaller, and faster to read.

    vicmae reencode data/kinetics400/train data/kinetics400_256/train

DST receives the layout of SRC, every video as H.264 mp4 without sound, the shorter side at most 256
pixels, with a keyframe every 12 frames. Frames and their time stamps are kept, rotation is applied.
SRC is only read. If stopped or killed, run the same command again to continue. A sample of the
videos is encoded first, to estimate how much space and time all will need: press Ctrl-C if that is
too much.

Videos that cannot be read are skipped and listed in DST/bad_videos.jsonl.

Exit status: 0 all done, 3 some bad videos, 1 an error (also if the machine could not read some
videos, as when a network disk fails), 130 stopped with Ctrl-C.
"""
import argparse
import os
import os.path as osp
import signal
from contextlib import closing

from rich.filesize import decimal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.options import between
from vicmae_mm.commands.preparation.check_videos import report_videos, write_bad_videos
from vicmae_mm.commands.preparation.converting import add_convert_options, run_jobs, total_size
from vicmae_mm.commands.preparation.reencode import ReencodeJob, ReencodeSettings, reencode
from vicmae_mm.commands.preparation.reencode_plan import plan_jobs, prepare_target, shares_name
from vicmae_mm.commands.run_tool import run_tool

PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower',
           'veryslow')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='folder of videos, searched at any depth')
    parser.add_argument('target', metavar='DST', help='folder for the new videos')
    parser.add_argument('--gop', type=between(int, 1, 10_000), default=12, metavar='FRAMES',
                        help='maximum number of frames between keyframes (default: %(default)s)')
    parser.add_argument('--crf', type=between(int, 0, 51), default=23,
                        help='quality of x264, 0 (lossless) to 51 (default: %(default)s)')
    parser.add_argument('--preset', default='veryfast', choices=PRESETS, metavar='PRESET',
                        help=f'effort of x264: {", ".join(PRESETS)} (default: %(default)s)')
    parser.add_argument('--threads', type=between(int, 1, 128), default=1, metavar='N',
                        help='threads of x264 per video (default: %(default)s)')
    add_convert_options(parser, timeout=3600.)
    args = parser.parse_args()
    if args.short_side < 2:
        parser.error('--short-side must be at least 2')
    return args


def encode_all(jobs: list[ReencodeJob], args: argparse.Namespace, bad: dict[str, str],
               unread: dict[str, str]) -> None:
    """Run the jobs; add bad videos to ``bad``, those the machine cannot read to ``unread``."""
    with closing(run_jobs(reencode, jobs, args.workers, args.timeout, 'Encoding', args.target,
                          lambda job: total_size([job.source]))) as results:
        for job, done in results:
            if done.problem:
                (unread if done.again else bad)[job.source] = done.problem


def main() -> int:
    """Encode the videos and print a report; return the exit status."""
    args = parse_args()
    settings = ReencodeSettings(args.short_side, args.gop, args.crf, args.preset, args.threads)
    bad: dict[str, str] = {}
    unread: dict[str, str] = {}
    stopped = False
    jobs = plan_jobs(args.source, args.target, settings)
    with prepare_target(args.target, jobs, settings):
        # A target that exists is complete: it appears only then.
        todo = [job for job in jobs if not osp.isfile(job.target)]
        print(f'{len(jobs):,} videos, {decimal(total_size(job.source for job in jobs))} in '
              f'{args.source}; {len(jobs) - len(todo):,} are already done.')
        try:
            encode_all(todo, args, bad, unread)
        except KeyboardInterrupt:
            stopped = True
        bad_file = osp.join(args.target, 'bad_videos.jsonl')
        write_bad_videos(bad_file, bad, args.source)
        report(jobs, args.target)
    return report_videos(len(jobs), bad, bad_file, unread, stopped)


def report(jobs: list[ReencodeJob], target: str) -> None:
    """Print how many videos are done, and their size before and after."""
    done = [job for job in jobs if osp.isfile(job.target)]
    before = total_size(job.source for job in done)
    after = total_size(job.target for job in done)
    print(f'{len(done):,} of {len(jobs):,} videos are in {target}: {decimal(before)} before, '
          f'{decimal(after)} after' + (f' ({after / before:.0%})' if before else ''))
    renamed = sum(osp.basename(job.source) != osp.basename(job.target) for job in done)
    if renamed:
        print(f'{renamed:,} got another extension (.mp4): create the lists again from {target}')
    for job in filter(shares_name, done):
        print(f'{job.source} -> {job.target}, because another video has the same name.')


if __name__ == '__main__':
    run_tool(main)
