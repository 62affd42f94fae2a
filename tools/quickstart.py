"""Pre-train ViC-MAE on clips rendered here, and measure what it has learnt.

    python tools/quickstart.py

Renders clips of handwritten digits (scikit-learn's, no download), pre-trains a small ViC-MAE
and an MAE on them, and measures both, and the untrained network, on images of digits that are
in no clip. Takes minutes on two CPU cores; the report says how many.
"""
import argparse
import os
import signal
from functools import partial
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.options import KeepText
from vicmae_mm.commands.quickstart.clips import render_clips
from vicmae_mm.commands.quickstart.digit_scenes import load_worlds
from vicmae_mm.commands.quickstart.measuring import draw_images, majority_share, measure
from vicmae_mm.commands.quickstart.pictures import draw_pictures
from vicmae_mm.commands.quickstart.pretraining import build_runner, pretrain
from vicmae_mm.commands.quickstart.report import Setting, accuracy_table, write_report
from vicmae_mm.commands.quickstart.steps import Steps
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir
from vicmae_mm.utils.progress import Progress, say

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'quickstart'
STEPS = ('render clips', 'pre-train ViC-MAE', 'pre-train MAE', 'measure', 'draw and report')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', default='work_dirs/quickstart', type=Path, help='default: %(default)s')
    parser.add_argument('--seed', default=0, type=int, help='default: %(default)s')
    parser.add_argument(
        '--clips', default=1000, type=int, help='clips to render (default: %(default)s)')
    parser.add_argument('--epochs', type=int, metavar='N', help='length of each training '
                        '(default: that of the config, 60)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepText, metavar='KEY=VALUE',
        help='settings to replace in both configs, e.g. train_dataloader.num_workers=2')
    return parser.parse_args()


def main() -> None:
    """Run the steps in order."""
    args = parse_args()
    lock_work_dir(str(args.work_dir))  # until the end: another run would render over the clips
    steps = Steps(STEPS)
    train_world, held_out_world = load_worlds()

    with steps.step():
        clips = args.work_dir / 'clips'
        if not render_clips(clips, train_world, args.clips, args.seed):
            say(f'      {clips} already contains them')

    build = partial(build_runner, clips=clips, seed=args.seed,
                    options={'epochs': args.epochs, **(args.cfg_options or {})})
    with steps.step():
        runner = build(CONFIGS / 'vicmae.py', work_dir=args.work_dir / 'vicmae')
        untrained, vicmae = pretrain(runner)
    with steps.step():
        _, mae = pretrain(build(CONFIGS / 'mae.py', work_dir=args.work_dir / 'mae'))

    with steps.step():
        size = vicmae.backbone.img_size[0]
        train = draw_images(train_world, 2, size, args.seed + 1)
        test = draw_images(held_out_world, 1, size, args.seed + 2)
        networks = {'ViC-MAE': vicmae, 'MAE, equal budget': mae, 'untrained': untrained}
        accuracies = {}
        with Progress('Measuring', len(networks)) as progress:
            for name, model in networks.items():
                accuracies[name] = measure(model, train, test)
                progress.update(len(accuracies), name)

    with steps.step():
        draw_pictures(vicmae, test, Path(runner.work_dir), args.work_dir)
    table = accuracy_table(accuracies, majority_share(train, test))
    write_report(args.work_dir / 'report.md', table, Setting.of(runner, mae, train, test),
                 steps.seconds)
    print('\n'.join(['', *table, '', f'Wrote {args.work_dir / "report.md"}']))


if __name__ == '__main__':
    run_tool(main)
