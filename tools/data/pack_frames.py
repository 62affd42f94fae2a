"""Pack frames of videos: tens of times faster to read.

    vicmae pack data/my_videos data/my_videos_packed
    vicmae pack data/kinetics400/kinetics400_train_list_videos.txt \\
        data/kinetics400_packed --prefix data/kinetics400/videos_train

Stores 16 evenly spread frames of each video (--frames), their shorter side at most 256 pixels, with
their frame numbers, so that pairs are drawn from them as from the video. SRC is only read. DST
receives shards (uncompressed ZIP files) and their index; vicmae_mm.PackedFrameDataset reads it
there or from object storage. If stopped or killed, run the same command again to continue with the
shard that was being made. A sample of the videos is packed first, to estimate how much space and
time all will need: press Ctrl-C if that is too much.

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

from vicmae_mm.commands.options import between, positive
from vicmae_mm.commands.preparation.check_videos import report_videos, write_bad_videos
from vicmae_mm.commands.preparation.converting import add_convert_options, run_jobs
from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.commands.preparation.pack_video import PackSettings, pack_video
from vicmae_mm.commands.preparation.video_sources import add_source, read_source
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.datasets.packed.index import build_index


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser, 'SRC')
    parser.add_argument('target', metavar='DST', help='folder for the shards')
    parser.add_argument('--labels-from-folders', action='store_true',
                        help='label the videos of a folder by its subfolders')
    parser.add_argument('--frames', type=positive, default=16, metavar='K',
                        help='evenly spread frames per video (default: %(default)s)')
    parser.add_argument('--every', type=positive, default=0, metavar='N',
                        help='store every N-th frame instead, for pairs of close frames')
    parser.add_argument('--every-seconds', type=between(float, .001, 1e6), default=0., metavar='S',
                        help='store the frame that is shown at each multiple of S seconds instead, '
                        'for long videos')
    parser.add_argument('--quality', type=between(int, 1, 100), default=90,
                        help='JPEG quality, 1 to 100 (default: %(default)s)')
    parser.add_argument('--videos-per-shard', type=positive, default=1000, metavar='VIDEOS',
                        help='videos per shard, whose frames are held in memory '
                        '(default: %(default)s)')
    add_convert_options(parser, timeout=600.)
    args = parser.parse_args()
    if args.every_seconds and args.every:
        parser.error('--every-seconds cannot be used with --every')
    return args


def pack(plan: Plan, args: argparse.Namespace, unread: dict[str, str]) -> bool:
    """Make the missing shards; return False if stopped with Ctrl-C.

    Videos that the machine could not read are added to ``unread``.
    """
    jobs = plan.jobs_left()
    print(f'{len(plan.videos):,} videos in {args.source}; {len(plan.videos) - len(jobs):,} are '
          'already done.')
    try:
        # By default every video yields the same number of frames, so jobs cost about the same.
        with closing(run_jobs(pack_video, jobs, args.workers, args.timeout, 'Packing', args.target,
                              lambda job: 1)) as results:
            for job, done in results:
                plan.add(job, done)
                if done.again:
                    unread[job.source] = done.problem
    except KeyboardInterrupt:
        return False
    return True


def main() -> int:
    """Pack the videos and print a report; return the exit status."""
    args = parse_args()
    folder, videos, classes = read_source(
        args.source, args.prefix, args.allow_outside_root, args.labels_from_folders)
    settings = PackSettings(args.frames, args.every, args.short_side, args.quality,
                            args.every_seconds)
    plan = Plan(args.target, folder, videos, classes, settings, args.videos_per_shard)
    with plan.check():
        unread: dict[str, str] = {}
        finished = pack(plan, args, unread)
        bad_file = osp.join(args.target, 'bad_videos.jsonl')
        write_bad_videos(bad_file, plan.bad, args.source)
        if finished and not unread:
            print('Building the index.')
            index = build_index(args.target, plan.names)
            print(f'{len(index):,} of {len(videos):,} videos are in {args.target}: '
                  f'{len(index.frames):,} frames, '
                  f'{decimal(sum(size for _, size in index.shards))}')
    status = report_videos(len(videos), plan.bad, bad_file, unread, not finished)
    if unread:
        print('Their shards were not written.')
    return status


if __name__ == '__main__':
    run_tool(main)
