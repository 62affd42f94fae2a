"""Test a model on the test data of a config.

    vicmae test my_photos.py work_dirs/my_photos/epoch_30.pth
    vicmae test configs/transfer/kinetics400/finetune_vit-b16_16x4.py \\
        work_dirs/finetune_vit-b16_16x4/epoch_75.pth --out predictions.pkl

Tests on the data of the config's test_dataloader, and prints the metrics.
"""
import argparse
import logging
import os
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)
import mmengine
from mmengine.config import Config

from vicmae_mm.checkpoints.weight_folders import check_exists
from vicmae_mm.commands.launcher import (
    count_processes,
    is_first_process,
    prepare_launcher,
    start_processes,
)
from vicmae_mm.commands.options import add_run_options, merge_options, open_config
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.terminal import build_tool_runner
from vicmae_mm.utils.atomic_files import check_writable
from vicmae_mm.utils.errors import InputError


def parse_args() -> argparse.Namespace:
    """Read the command line; the options are those of mmpretrain's ``test.py``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument(
        '--out', metavar='FILE',
        help='write the predictions to FILE.pkl, or the metrics to FILE.json (see --out-item); '
        'replaces a file that exists')
    parser.add_argument(
        '--out-item', choices=['pred', 'metrics'], default='pred', help='what --out writes')
    add_run_options(parser)
    return parser.parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options into the config.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: The config has no test, or --out has a wrong file extension.
        OSError: --out cannot be written.
    """
    if cfg.get('test_dataloader') is None:
        raise InputError(f'{args.config} has no test_dataloader: there is nothing to test. '
                         'Pre-trained models are tested by the configs in configs/transfer.')
    check_exists(args.checkpoint)
    cfg.load_from = args.checkpoint
    # Resuming would also load the optimizer, which is not built for a test.
    cfg.resume = False
    merge_options(cfg, args, ['test_dataloader'])
    if args.out:
        endings = ('.pkl', '.pickle') if args.out_item == 'pred' else ('.json', '.yaml', '.yml')
        if not args.out.endswith(endings):
            raise InputError(f'--out {args.out}: must end in {" or ".join(endings)}')
        # Now, not after the test. mmengine also writes to URLs.
        if '://' not in args.out:
            check_writable(args.out)
        if args.out_item == 'pred':
            # mmengine has a metric that writes the predictions instead of judging them.
            metrics = cfg.test_evaluator
            cfg.test_evaluator = [
                *(metrics if isinstance(metrics, list | tuple) else [metrics]),
                dict(type='mmengine.DumpResults', out_file_path=args.out)
            ]


def main() -> None:
    """Test the model."""
    args = parse_args()
    cfg = open_config(args.config)
    merge_args(cfg, args)
    start_processes(__file__, args.devices, cfg.launcher)
    prepare_launcher(cfg.launcher)
    if is_first_process(cfg.launcher):
        check_config(
            cfg, count_processes(cfg.launcher), args.cfg_options or (), 'test').report()
    runner = build_tool_runner(cfg, logging.DEBUG if args.verbose else logging.INFO)
    if args.out and os.path.exists(args.out):
        runner.logger.warning(f'--out {args.out} exists: the test will replace it.')
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    run_tool(main)
