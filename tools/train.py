"""Train a model: python tools/train.py CONFIG [--work-dir DIR] [--resume] ..."""
import argparse
import sys

from vicmae_mm import cli  # isort: skip  (first: vicmae_mm mends mmengine for what follows)
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from vicmae_mm.config_check import (
    ConfigError,
    check_config,
    count_processes,
    is_first_process,
    misspelt_options,
)


def build_parser(description: str) -> argparse.ArgumentParser:
    """Make a parser; the options are those of mmpretrain's ``train.py``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='go on from a checkpoint; without a path: from the newest in the work dir, and '
        'from the start if there is none')
    parser.add_argument(
        '--amp', action='store_true',
        help='train in bfloat16 where the GPU computes in it (the pre-training configs do)')
    parser.add_argument('--no-validate', action='store_true', help='leave out validation')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help="scale the learning rate by the batch size over all GPUs / the config's")
    cli.add_options(parser)
    return parser


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    return build_parser('Train a model.').parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options into the config.

    Raises:
        FileNotFoundError: There is no checkpoint to resume from.
        ValueError: An option does not go with the config.
    """
    if args.amp:
        use_amp(cfg.optim_wrapper)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if cfg.load_from is not None:
            cli.check_checkpoint(cfg.load_from)
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise ValueError(
                f'--auto-scale-lr: {args.config} does not say for which batch size its learning '
                'rate is; add auto_scale_lr = dict(base_batch_size=...)')
        cfg.auto_scale_lr.enable = True
    cli.merge_options(cfg, args, ['train_dataloader', 'val_dataloader', 'test_dataloader'])
    if args.no_validate:  # after the options, which may name parts of validation
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None


def use_amp(optim_wrapper: ConfigDict) -> None:
    """Switch a plain optimizer wrapper to bfloat16; one with mixed precision stays.

    Raises:
        ValueError: The config has a wrapper of another kind.
    """
    kind = optim_wrapper.setdefault('type', 'OptimWrapper')
    if kind in ('OptimWrapper', 'mmengine.OptimWrapper'):
        optim_wrapper.type = 'vicmae_mm.BF16OptimWrapper'
    elif kind not in ('AmpOptimWrapper', 'mmengine.AmpOptimWrapper', 'vicmae_mm.BF16OptimWrapper'):
        raise ValueError(
            f'--amp works with the optimizer wrapper "OptimWrapper"; the config has "{kind}"')


def check(cfg: Config, misspelt: list[str]) -> None:
    """Refuse what can't train, before a GPU or another process is waited for.

    Raises:
        ConfigError: With all that is wrong.
    """
    findings = check_config(cfg, count_processes(cfg.launcher))
    for line in [*misspelt, *findings.warnings]:
        print(f'warning: {line}', file=sys.stderr, flush=True)
    if findings.errors:
        raise ConfigError(findings.errors)


def main() -> None:
    """Train as the command line says."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    misspelt = misspelt_options(cfg, args.cfg_options or {})
    merge_args(cfg, args)
    if is_first_process(args.launcher):
        check(cfg, misspelt)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    cli.check_epoch(runner)
    runner.train()


if __name__ == '__main__':
    cli.run(main)
