"""List the videos of Kinetics-710 for pre-training.

    vicmae make-k710-lists data/kinetics400 data/kinetics600 data/kinetics700

These are the training videos of the three datasets, each once, without those of any validation or
test set. Videos are identified by the YouTube ids in their names (YOUTUBEID_SSSSSS_EEEEEE.mp4, or
the id alone if a csv file has it). Folders and official csv files are found as by
`vicmae make-kinetics-lists`.

Writes kinetics710_train_list_videos.txt (one "path -1" per line, paths relative to the folder that
the three have in common).
"""
import argparse
import os
import os.path as osp
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.preparation.kinetics import FOLDERS
from vicmae_mm.commands.preparation.kinetics710 import build_kinetics710_list
from vicmae_mm.commands.preparation.lists import write_labelled
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.errors import SOME_ARE_BAD

DATASETS = ('kinetics400', 'kinetics600', 'kinetics700')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in DATASETS:
        parser.add_argument(name, help=f'folder of {name.capitalize()[:-3]}-{name[-3:]}')
    for split in FOLDERS:
        parser.add_argument(f'--{split}', metavar='FOLDER',
                            help=f'folder of the {split} videos, relative to each of the three')
    parser.add_argument('--out', metavar='FOLDER', help='output folder (default: kinetics710 next '
                        'to the three)')
    return parser.parse_args()


def main() -> int:
    """Write the list and print what was left out; return the exit status."""
    args = parse_args()
    videos = build_kinetics710_list([vars(args)[name] for name in DATASETS], vars(args))
    file = osp.join(args.out or osp.join(videos.folder, 'kinetics710'),
                    'kinetics710_train_list_videos.txt')
    left_out = write_labelled(file, videos.videos)
    print(videos.describe(file, videos.folder))
    return SOME_ARE_BAD if left_out else 0


if __name__ == '__main__':
    run_tool(main)
