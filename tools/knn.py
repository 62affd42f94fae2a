"""Classify images by their nearest neighbours.

    vicmae knn CHECKPOINT --data-root data
    vicmae knn CHECKPOINT --folder mine=path/to/folder --k 200

The class of a test image is the cosine-weighted vote of the k nearest training and validation
images, with temperature 0.07. Datasets and cached features are those of `vicmae probe`.
"""
import argparse
import os
import signal
from collections.abc import Callable
from functools import partial

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from torch import Tensor

import vicmae_mm  # noqa: F401  (patches upstream faults)
from vicmae_mm.commands.options import add_trust, positive
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer.command import Method, add_transfer_options, measure_all
from vicmae_mm.evaluation.labelled_sources import Source
from vicmae_mm.evaluation.protocol import Splits, knn_score


def measure(k: int, source: Source, splits: Splits,
            progress: Callable[[int], object]) -> tuple[float, str, Tensor]:
    """Score one dataset."""
    score, votes = knn_score(splits, source.metric, source.num_classes, k)
    progress(1)
    return score, f'k = {k}', votes


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_transfer_options(parser)
    add_trust(parser)
    parser.add_argument('--k', type=positive, default=20, help='neighbours (default: %(default)s)')
    args = parser.parse_args()
    measure_all(args, Method(f'knn{args.k}', 1, partial(measure, args.k)))


if __name__ == '__main__':
    run_tool(main)
