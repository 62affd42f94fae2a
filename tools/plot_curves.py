"""Draw the curves of a training run.

    vicmae curves work_dirs/run

The picture is the one that CurvesHook draws during training.
"""
import argparse
import os
import signal
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

import vicmae_mm  # noqa: F401  (patches of upstream faults)
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.errors import InputError
from vicmae_mm.visualization import find_scalars, plot_curves


def main() -> None:
    """Draw the curves and print the path of the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'run', type=Path, help="a work dir (resumed runs are joined), or one run's scalars.json")
    parser.add_argument(
        '--out', type=Path, help='picture file (default: curves.png in the work dir, or next to '
        'the json)')
    args = parser.parse_args()
    out = args.out or (args.run if args.run.is_dir() else args.run.parent) / 'curves.png'
    scalars = find_scalars(args.run) if args.run.is_dir() else [args.run]
    if not scalars:
        raise InputError(f'{args.run} is not the work dir of a run: it has no '
                         '<timestamp>/vis_data/scalars.json.')
    plot_curves(scalars, out)
    print(f'Wrote {out}')


if __name__ == '__main__':
    run_tool(main)
