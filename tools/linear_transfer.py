"""Linear evaluation of frozen features on the twelve image datasets of Table 3.

    python tools/linear_transfer.py CHECKPOINT --data-root data
    python tools/linear_transfer.py CHECKPOINT --datasets Food DTD --data-root data --level avg
    python tools/linear_transfer.py CHECKPOINT --folder mine=path/to/folder

L2-regularised logistic regression; the penalty is the best of 45 on the validation images, the
final fit has these too. Features are computed once and kept. Datasets that are missing are
told, with where to get them, and the others go on.
"""
import argparse
from collections.abc import Callable

import vicmae_mm  # noqa: F401  (mends of upstream faults)
from vicmae_mm.commands.options import add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer import PENALTIES, Method, add_options, linear_score, measure_all
from vicmae_mm.commands.transfer.protocol import Splits
from vicmae_mm.commands.transfer.sources import Source


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    add_trust(parser)
    args = parser.parse_args()

    def measure(source: Source, splits: Splits,
                progress: Callable[[int], object]) -> tuple[float, str]:
        score = linear_score(splits, source.metric, source.num_classes, args.device, progress)
        return score.test, f'penalty {score.penalty:.2g}, validation {score.val:.2f}'

    measure_all(args, Method('linear', len(PENALTIES), measure))


if __name__ == '__main__':
    run_tool(main)
