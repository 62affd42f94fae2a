"""List the videos of Kinetics-400, 600 or 700 on disk.

    vicmae make-kinetics-lists data/kinetics400
    vicmae make-kinetics-lists /data/k700 --name kinetics700 --out data/kinetics700

Searches for videos named YOUTUBEID_SSSSSS_EEEEEE.mp4, flat or in class folders, in train/ or
videos_train/, val/ or videos_val/, test/ or videos_test/. Searches for the official csv files
(label,youtube_id,time_start,time_end,split) in the root and in annotations/; without them, class
folders give the labels.

Writes kinetics400_train_list_videos.txt and so on (one "path label" per line, as mmaction2 does),
and kinetics400_label_map.txt (the classes in mmaction2's order).
"""
import argparse
import os
import re
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.preparation import kinetics
from vicmae_mm.commands.preparation.lists import write_lists
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.errors import SOME_ARE_BAD


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder that contains the folders of the splits')
    parser.add_argument('--csv', nargs='+', metavar='FILE', help='the official csv files, if not '
                        'in ROOT or ROOT/annotations')
    parser.add_argument('--name', default='kinetics400',
                        choices=('kinetics400', 'kinetics600', 'kinetics700'),
                        help='prefix of the names of the lists (default: %(default)s)')
    for split in kinetics.FOLDERS:
        parser.add_argument(f'--{split}', metavar='FOLDER',
                            help=f'folder of the {split} videos, relative to ROOT')
    parser.add_argument('--out', metavar='FOLDER', help='output folder (default: ROOT)')
    return parser.parse_args()


def main() -> int:
    """Write the lists and print a summary; return the exit status."""
    args = parse_args()
    folders = kinetics.find_folders(args.root, vars(args))
    csv_files = args.csv or kinetics.find_csv_files(args.root)
    print('Official csv files:', ', '.join(csv_files) or 'none')
    classes, lists, skipped = kinetics.build_kinetics_lists(
        args.root, folders, kinetics.read_csv_files(csv_files))
    left_out = write_lists(args.out or args.root, args.name, classes, lists, args.root)
    for remark in skipped:
        print(remark)
    expected = int(re.sub(r'\D', '', args.name))
    if len(classes) != expected:
        print(f'WARNING: these labels are not those of {args.name}, which has {expected} classes')
    return SOME_ARE_BAD if left_out else 0


if __name__ == '__main__':
    run_tool(main)
