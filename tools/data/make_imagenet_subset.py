"""List shares of the labelled images, for Table 10.

    vicmae make-imagenet-subset data/imagenet
    vicmae make-imagenet-subset /data/photos --percentages 10 50 --seed 1
    vicmae make-imagenet-subset data/imagenet --ann-file data/imagenet/meta/train.txt

For semi-supervised training. Draws the same share of every class at random; each larger list
contains the smaller ones. Writes ROOT/subsets/train_001pct.txt, train_005pct.txt and so on (one
"path label" per line, paths relative to ROOT/train), which configs/transfer/imagenet/semi_* read.
"""
import argparse
import os
import os.path as osp
import signal
from collections import Counter

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.options import between
from vicmae_mm.commands.preparation.imagenet_subset import nested_subsets
from vicmae_mm.commands.preparation.lists import write_labelled
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.datasets.annotations.image_lists import scan_classes
from vicmae_mm.datasets.annotations.list_index import ListIndex
from vicmae_mm.datasets.annotations.video_lists import find_labelled
from vicmae_mm.utils.errors import SOME_ARE_BAD
from vicmae_mm.utils.progress import track

NUM_CLASSES = 1000  # ImageNet-1K


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder that contains train/CLASS/*.JPEG')
    parser.add_argument('--ann-file', metavar='FILE',
                        help='read images and labels from this list, not from class folders')
    parser.add_argument('--percentages', nargs='+', type=between(int, 1, 100), metavar='N',
                        default=[1, 5, 10, 25, 50, 75],
                        help='shares of every class (default: 1 5 10 25 50 75)')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the draw (default: %(default)s)')
    parser.add_argument('--out', metavar='FOLDER', help='output folder (default: ROOT/subsets)')
    return parser.parse_args()


def main() -> int:
    """Write the lists and print a summary; return the exit status."""
    args = parse_args()
    out = args.out or osp.join(args.root, 'subsets')
    folder = osp.join(args.root, 'train')
    # Of a list, the paths as listed.
    images = [*ListIndex(find_labelled(args.ann_file, folder, args.root).source)
              ] if args.ann_file else scan_classes(
                  folder, lambda names: track(names, 'Scanning class folders'))
    subsets = nested_subsets(images, args.percentages, args.seed)
    classes = len({label for _, label in images})
    print(f'{len(images):,} images of {classes:,} classes')
    bad: list[str] = []
    for percentage, chosen in subsets.items():
        path = osp.join(out, f'train_{percentage:03d}pct.txt')  # the name that the configs read
        bad += write_labelled(path, chosen)
        sizes = Counter(label for _, label in chosen).values()
        print(f'{percentage:3d} %: {len(chosen):,} images, {min(sizes):,} to {max(sizes):,} '
              f'per class -> {path}')
    if classes != NUM_CLASSES:
        print(f'WARNING: these labels are not those of ImageNet-1K, which has {NUM_CLASSES:,} '
              'classes')
    return SOME_ARE_BAD if bad else 0


if __name__ == '__main__':
    run_tool(main)
