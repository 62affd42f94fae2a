"""Nearest-neighbour classification with frozen features, on the datasets of linear_transfer.py.

    python tools/knn.py CHECKPOINT --data-root data
    python tools/knn.py CHECKPOINT --folder mine=path/to/folder --k 200

The cosine-weighted vote of the k nearest training images (validation images among them), with
temperature 0.07. It reads the features that linear_transfer.py has kept.
"""
import argparse
from collections.abc import Callable
from functools import partial

import vicmae_mm  # noqa: F401  (mends of upstream faults)
from vicmae_mm.commands.options import add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer import Method, add_options, knn_score, measure_all
from vicmae_mm.commands.transfer.protocol import Splits
from vicmae_mm.commands.transfer.sources import Source


def measure(k: int, source: Source, splits: Splits,
            progress: Callable[[int], object]) -> tuple[float, str]:
    """Score one dataset."""
    score = knn_score(splits, source.metric, source.num_classes, k)
    progress(1)
    return score, f'k = {k}'


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    add_trust(parser)
    parser.add_argument('--k', type=int, default=20, help='neighbours (default: %(default)s)')
    args = parser.parse_args()
    measure_all(args, Method(f'knn{args.k}', 1, partial(measure, args.k)))


if __name__ == '__main__':
    run_tool(main)
