"""Pre-train on clips rendered here, and measure the result.

    vicmae quickstart
    vicmae quickstart --recipes vicmae images joint

Renders clips of scikit-learn's handwritten digits, without a download, and pre-trains a small
ViC-MAE and an MAE on them. Measures both, and the untrained network, on images of digits that
are in no clip. Takes about 10 minutes on two CPU cores. Other recipes train on rendered images,
on images and clips, or on clips from the weights of another recipe.
"""
import argparse
import os
import signal
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from mmengine.config import Config
from PIL import Image

from vicmae_mm.commands.options import KeepText, positive
from vicmae_mm.commands.quickstart.clips import render_clips
from vicmae_mm.commands.quickstart.digit_scenes import load_worlds
from vicmae_mm.commands.quickstart.mask_propagation import score_propagation
from vicmae_mm.commands.quickstart.measuring import (
    as_labelled,
    draw_images,
    majority_share,
    measure,
)
from vicmae_mm.commands.quickstart.pretraining import build_runner, train_recipe
from vicmae_mm.commands.quickstart.report import Steps, accuracy_table, write_report
from vicmae_mm.commands.result_files import markdown_table
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.engine.hooks import ProbeHook
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir
from vicmae_mm.models import Encoder
from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress, say
from vicmae_mm.visualization import draw_reconstruction, find_scalars, plot_curves

RECIPES = {path.stem: path
           for path in sorted((carried_folder('configs') / 'quickstart').glob('*.py'))}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', default='work_dirs/quickstart', type=Path, help='default: %(default)s')
    parser.add_argument('--seed', default=0, type=int, help='default: %(default)s')
    parser.add_argument(
        '--clips', default=1000, type=positive, help='clips to render (default: %(default)s)')
    parser.add_argument(
        '--recipes', nargs='+', default=['vicmae', 'mae'], choices=RECIPES, metavar='NAME',
        help=f'configs of configs/quickstart to train: {", ".join(RECIPES)} (default: vicmae mae)')
    parser.add_argument('--epochs', type=positive, metavar='N', help='length of each training '
                        '(default: that of the config, 60, and 20 for scratch and adapt)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepText, metavar='KEY=VALUE',
        help='settings to replace in all configs, e.g. train_dataloader.num_workers=2')
    return parser.parse_args()


def main() -> None:
    """Run the steps in order."""
    args = parse_args()
    configs = {name: Config.fromfile(RECIPES[name]) for name in args.recipes}
    _check_starts(configs)
    lock_work_dir(str(args.work_dir))  # until the end: another run would render over the clips
    steps = Steps(['render', *(f'pre-train {cfg.title}' for cfg in configs.values()),
                   'measure', 'draw and report'])
    train_world, held_out_world = load_worlds()

    counts = {}
    with steps.step():
        for name in ('clips', 'stills'):
            # by the names of their folders in the configs
            used = any(f"'{name}'" in str(cfg.train_dataloader) for cfg in configs.values())
            counts[name] = args.clips if used else 0
            if used and not render_clips(args.work_dir / name, train_world, args.clips, args.seed,
                                         stills=name == 'stills'):
                say(f'      {args.work_dir / name} already contains them')

    options = dict(args.cfg_options or {})
    if args.epochs is not None:
        options = {'epochs': args.epochs, **options}
    trained = []
    for name in configs:
        with steps.step():
            runner = build_runner(RECIPES[name], args.work_dir, args.clips, args.seed, options)
            size = runner.model.backbone.img_size[0]
            train = draw_images(train_world, 2, size, args.seed + 1)
            test = draw_images(held_out_world, 1, size, args.seed + 2)
            for hook in runner.hooks:
                if isinstance(hook, ProbeHook):
                    hook.images = dict(train=as_labelled(train), test=as_labelled(test))
            trained.append(train_recipe(runner))
    first = trained[0]

    with steps.step():
        networks = {**{each.title: each.model for each in trained}, 'untrained': first.initial}
        accuracies = {}
        masks = {'first mask, unmoved': score_propagation(None, held_out_world, args.seed + 3)}
        with Progress('Measuring', len(networks)) as progress:
            for name, model in networks.items():
                accuracies[name] = measure(Encoder.of(model), train, test)
                masks[name] = score_propagation(Encoder.of(model), held_out_world, args.seed + 3)
                progress.update(len(accuracies), name)

    with steps.step():
        digits = [(f'held-out digit {label}', [image])
                  for image, label in zip(test.images[:5], test.labels, strict=False)]
        Image.fromarray(draw_reconstruction(first.model, digits, seed=0)).save(
            args.work_dir / 'reconstruction.png')
        # The last run only: each quickstart in the same folder adds one.
        plot_curves(find_scalars(first.work_dir)[-1:], args.work_dir / 'curves.png')
    table = [*accuracy_table(accuracies, majority_share(train, test)), '',
             'The mask of the digit, propagated through 30 held-out clips (docs/dense.md):', '',
             *markdown_table(['network', 'J&F'], [
                 [name, f'{scores["J&F"]:.1%}'] for name, scores in masks.items()])]
    write_report(args.work_dir / 'report.md', table, trained, steps.seconds, args.seed, counts,
                 len(train.labels), len(test.labels))
    print('\n'.join(['', *table, '', f'Wrote {args.work_dir / "report.md"}']))


def _check_starts(configs: dict[str, Config]) -> None:
    for number, (name, cfg) in enumerate(configs.items()):
        if cfg.get('start') not in [None, *list(configs)[:number]]:
            raise InputError(f'The recipe {name} starts from the weights of {cfg.start}: write '
                             f'--recipes {cfg.start} {name}.')


if __name__ == '__main__':
    run_tool(main)
