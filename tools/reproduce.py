"""Repeat the paper's Tables 2, 4, 5, 6 and 10.

    vicmae reproduce 4                                  # on one CPU core
    vicmae reproduce all --seeds 5 --work-dir work_dirs/toy
    vicmae reproduce all --work-dir work_dirs/toy --report
    vicmae reproduce 4 --scale full --devices 8

Trains every row of the tables with every seed, evaluates it, and compares the results with the
paper's. You can repeat the command at any time, also on other machines with the same work dir:
finished runs are kept, others continue where they stopped. docs/evidence.md has our results.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.options import open_config, positive
from vicmae_mm.commands.reproduce.comparison import markdown_report, read_scores
from vicmae_mm.commands.reproduce.job_runner import JobRunner
from vicmae_mm.commands.reproduce.jobs import FAILED, RESULTS, list_jobs, run_missing
from vicmae_mm.commands.reproduce.picture import draw_tables
from vicmae_mm.commands.reproduce.tables import TABLES
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say

CONFIGS = carried_folder('configs')
SCALES = sorted(path.stem for path in (CONFIGS / '_base_/scales').glob('*.py'))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tables', nargs='+', choices=['all', *map(str, TABLES)], metavar='TABLE',
                        help=f'{", ".join(map(str, TABLES))} or all')
    parser.add_argument('--scale', choices=SCALES, default='toy', help='default: %(default)s')
    parser.add_argument('--seeds', type=positive, default=3, help='runs of each row, with '
                        'the seeds 0, 1, ... (default: %(default)s)')
    parser.add_argument('--work-dir', type=Path, help='folder of all runs (default: '
                        'work_dirs/reproduce_SCALE)')
    parser.add_argument('--devices', type=positive, default=0, help='GPUs per run (default: one if '
                        'there is one)')
    parser.add_argument('--report', action='store_true', help='run nothing; report what is there')
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then report."""
    args = parse_args()
    root = args.work_dir or Path(f'work_dirs/reproduce_{args.scale}')
    tables = [*TABLES] if 'all' in args.tables else [*dict.fromkeys(map(int, args.tables))]
    jobs = [] if args.report else list_jobs(tables, range(args.seeds))
    scale = open_config(str(CONFIGS / '_base_/scales' / f'{args.scale}.py'))
    failed, elsewhere = run_missing(jobs, root, JobRunner(root, CONFIGS, scale, args.devices))

    scores = read_scores(root)
    if scores:
        report = markdown_report(tables, scores)
        (root / 'report.md').write_text(report)
        draw_tables(tables, scores, args.scale, root / 'report.png')
        print(report)
        say(f'Wrote {root / "report.md"}, {root / "report.png"} and {root / RESULTS}')
    if elsewhere:
        say(f'{len(elsewhere)} runs are in progress in other processes: {", ".join(elsewhere)}')
    if failed:
        sys.exit(f'error: {len(failed)} of {len(jobs)} runs failed, see {FAILED} in their folders; '
                 f'the same command tries them again: {", ".join(failed)}')
    if not scores:
        raise InputError(f'{root} has no results yet.')


if __name__ == '__main__':
    run_tool(main)
