"""Make the lists of 1, 5, 10, 25, 50, 75 and 100 % of ImageNet's training set (Table 10).

    python tools/data/make_imagenet_subset.py data/imagenet/train
    python tools/data/make_imagenet_subset.py data/imagenet/meta/train.txt --percent 1 10 --seed 1

Every class gives the same share, rounded down, but at least one image. The smaller lists are
parts of the larger ones. The seed and the paths in the lists alone decide which images are drawn.

Writes train_1pct.txt, train_5pct.txt and so on, named after the source: "path label" a line, as
mmpretrain's ImageNet reads with ann_file. From class folders, paths are relative to the source
and labels number the folders in sorted order; from a list, both stay as they are.
"""
import argparse
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

from vicmae_mm import cli
from vicmae_mm.datasets.preparation.imagenet_subset import class_sizes, draw_subsets, list_images
from vicmae_mm.datasets.preparation.lists import write_lines

PERCENTS = [Decimal(percent) for percent in (1, 5, 10, 25, 50, 75, 100)]
CLASSES = 1000


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder with a folder of images for each class, or a list '
                        'with "path label" a line')
    parser.add_argument('--percent', nargs='+', type=_percent, default=PERCENTS, metavar='P',
                        help='sizes of the lists (default: 1 5 10 25 50 75 100)')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--out-dir', type=Path, metavar='FOLDER',
                        help='where to write (default: the folder that holds SOURCE)')
    return parser.parse_args()


def _percent(text: str) -> Decimal:
    try:
        percent = Decimal(text)
        if 0 < percent <= 100:
            return percent.normalize()  # 5.0 is 5
    except InvalidOperation:
        pass
    raise argparse.ArgumentTypeError(f'{text!r} is no percentage above 0, up to 100')


def main() -> None:
    """Write the lists and say what they hold."""
    args = parse_args()
    source = Path(os.path.abspath(args.source))
    stem = source.name if source.is_dir() else source.stem
    out_dir = args.out_dir or source.parent
    images = list_images(args.source)
    classes = len(class_sizes(images))
    print(f'{len(images):,} images of {classes:,} classes in {args.source}')
    out_dir.mkdir(parents=True, exist_ok=True)
    for percent, subset in draw_subsets(images, args.percent, args.seed).items():
        file = out_dir / f'{stem}_{percent:f}pct.txt'
        write_lines(str(file), (f'{path} {label}' for path, label in subset))
        sizes = class_sizes(subset)
        print(f'{percent:>5f} %: {len(subset):9,} images, {sizes[0]:,} to {sizes[-1]:,} a class '
              f'-> {file}')
    if classes != CLASSES:
        print(f'WARNING: ImageNet-1K has {CLASSES:,} classes, so these labels are not its own')


if __name__ == '__main__':
    cli.run(main)
