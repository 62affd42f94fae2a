"""Pre-train ViC-MAE on clips rendered here, and measure what it has learnt.

    python tools/quickstart.py

Renders clips of handwritten digits (from scikit-learn: no download), pre-trains a
small ViC-MAE and a MAE on them, and measures both, and the untrained network, on
images of other digits. Takes minutes on two CPU cores; WORK_DIR/report.md tells the rest.
"""
import argparse
from pathlib import Path

from vicmae_mm import cli  # isort: skip  (first: vicmae_mm mends mmengine for what follows)
from vicmae_mm.quickstart.run import run


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', default='work_dirs/quickstart', type=Path, help='default: %(default)s')
    parser.add_argument('--seed', default=0, type=int, help='default: %(default)s')
    parser.add_argument(
        '--clips', default=1000, type=int, help='how many to render (default: %(default)s)')
    parser.add_argument(
        '--epochs', type=int, help="of each pre-training (default: the config's)")
    return parser.parse_args()
