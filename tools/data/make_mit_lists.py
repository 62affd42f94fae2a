"""List the videos of Moments in Time on disk.

    vicmae make-mit-lists data/mit

Expects class/file.mp4 in the folders training/ and validation/ (or videos/training/ and
videos/validation/), and the dataset's own files trainingSet.csv, validationSet.csv and
moments_categories.txt in the root or in annotations/.

Writes mit_train_list_videos.txt and mit_val_list_videos.txt (one "path label" per line, as
mmaction2 does), and mit_label_map.txt (the classes in the order of their labels).
"""
import argparse
import os
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.preparation import moments
from vicmae_mm.commands.preparation.lists import write_lists
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.errors import SOME_ARE_BAD


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder of the dataset')
    parser.add_argument('--out', metavar='FOLDER', help='output folder (default: ROOT)')
    return parser.parse_args()


def main() -> int:
    """Write the lists and print a summary; return the exit status."""
    args = parse_args()
    classes, lists = moments.build_moments_lists(args.root)
    left_out = write_lists(args.out or args.root, 'mit', classes, lists, args.root)
    return SOME_ARE_BAD if left_out else 0


if __name__ == '__main__':
    run_tool(main)
