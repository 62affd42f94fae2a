"""Linear probe on your images, or the datasets of Table 3.

    vicmae probe CHECKPOINT --data-root data
    vicmae probe CHECKPOINT --datasets Food DTD --data-root data --level avg
    vicmae probe CHECKPOINT --folder mine=path/to/folder

The classifier is an L2-regularised logistic regression. Of 45 penalties, the best one on the
validation images is used for the final fit, which includes these images. Features are computed
once and kept. Missing datasets are skipped, and the report says where to get them.
"""
import argparse
import os
import signal
from collections.abc import Callable

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from torch import Tensor

import vicmae_mm  # noqa: F401  (patches upstream faults)
from vicmae_mm.commands.options import add_trust
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer.command import Method, add_transfer_options, measure_all
from vicmae_mm.evaluation.labelled_sources import Source
from vicmae_mm.evaluation.protocol import PENALTIES, Splits, linear_score


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_transfer_options(parser)
    add_trust(parser)
    args = parser.parse_args()

    def measure(source: Source, splits: Splits,
                progress: Callable[[int], object]) -> tuple[float, str, Tensor]:
        score = linear_score(splits, source.metric, source.num_classes, args.device, progress)
        details = f'penalty {score.penalty:.2g}, validation {score.val:.2f}'
        return score.test, details, score.logits.softmax(1)

    measure_all(args, Method('linear', len(PENALTIES), measure))


if __name__ == '__main__':
    run_tool(main)
