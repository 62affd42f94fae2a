"""Make the lists of labelled images for semi-supervised training (Table 10).

    python tools/data/make_imagenet_subset.py data/imagenet
    python tools/data/make_imagenet_subset.py /data/photos --percentages 10 50 --seed 1
    python tools/data/make_imagenet_subset.py data/imagenet --ann-file data/imagenet/meta/train.txt

Takes the same share of every class, at random by the seed; each smaller list is contained in each
larger one. Writes ROOT/subsets/train_001pct.txt, train_005pct.txt and so on ("path label" a line,
paths relative to ROOT/train), which configs/transfer/imagenet/semi_* read.
"""
import argparse
import os.path as osp
import sys
from collections import Counter

from rich.console import Console
from rich.progress import track

from vicmae_mm.commands.preparation.imagenet_subset import nested_subsets, write_subset
from vicmae_mm.datasets.annotations.image_lists import read_list, scan_classes

CLASSES = 1000  # of ImageNet-1K


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder that holds train/CLASS/*.JPEG')
    parser.add_argument('--ann-file', metavar='FILE',
                        help='take images and labels from this list, not from class folders')
    parser.add_argument('--percentages', nargs='+', type=int, default=[1, 5, 10, 25, 50, 75],
                        metavar='N', help='shares of every class (default: 1 5 10 25 50 75)')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--out', metavar='FOLDER', help='where to write (default: ROOT/subsets)')
    return parser.parse_args()


def main() -> None:
    """Write the lists and say what they hold."""
    args = parse_args()
    out = args.out or osp.join(args.root, 'subsets')
    try:
        if args.ann_file:
            images = read_list(args.ann_file)
        else:
            images = scan_classes(
                osp.join(args.root, 'train'),
                lambda names: track(names, 'Classes', console=Console(stderr=True)))
        subsets = nested_subsets(images, args.percentages, args.seed)
        classes = len({label for _, label in images})
        print(f'{len(images):,} images of {classes:,} classes')
        for percentage, chosen in subsets.items():
            path = write_subset(out, percentage, chosen)
            sizes = Counter(label for _, label in chosen).values()
            print(f'{percentage:3d} %: {len(chosen):,} images, {min(sizes):,} to {max(sizes):,} a '
                  f'class -> {path}')
        if classes != CLASSES:
            print(f'WARNING: ImageNet-1K has {CLASSES:,} classes, so these labels are not its own')
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
