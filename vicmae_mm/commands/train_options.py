"""The options of train.py and check_config.py."""
import argparse

from mmengine.config import Config, ConfigDict

from vicmae_mm.checkpoints.weight_folders import check_exists
from vicmae_mm.engine.starting.start import AUTO
from vicmae_mm.utils.errors import InputError

from .options import add_run_options, merge_options, open_config, positive
from .run_length import set_epochs


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmpretrain's ``train.py``."""
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--resume', nargs='?', const=AUTO, metavar='CHECKPOINT',
        help='continue from a checkpoint; without a path, from the newest in the work dir, or '
        'start as without this option if there is none')
    parser.add_argument('--amp', action='store_true', help='train in bfloat16 if the GPU supports '
                        'it (the pre-training configs do so anyway)')
    parser.add_argument('--epochs', type=positive, metavar='N', help='length of the run; '
                        'schedules, warm-up and the begin of contrast keep their share of it')
    parser.add_argument('--no-validate', action='store_true', help='skip validation')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate by '
                        "the samples or pairs per optimizer step, relative to the config's")
    add_run_options(parser)


def read_train_config(args: argparse.Namespace) -> Config:
    """The config with the options merged into it.

    Raises:
        FileNotFoundError: The checkpoint to resume from does not exist.
        ValueError: An option is incompatible with the config.
    """
    cfg = open_config(args.config)
    if args.amp:
        _use_amp(cfg.optim_wrapper)
    if args.auto_scale_lr:
        cfg.merge_from_dict({'auto_scale_lr.enable': True})
    merge_options(cfg, args, ['train_dataloader', 'val_dataloader', 'test_dataloader'])
    if args.resume is not None:
        # load_from stays as it is: weights to start from, never a checkpoint to resume.
        cfg.resume = args.resume
        if args.resume != AUTO:
            check_exists(args.resume)
    _check_scaling(cfg)
    if args.epochs and 'train_cfg.max_epochs' in (args.cfg_options or {}):
        raise InputError(f'--epochs {args.epochs}: leave out train_cfg.max_epochs: it does '
                         'not say for which length the schedules were written.')
    set_epochs(cfg, args.epochs)
    # Last, since --cfg-options may set parts of validation.
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


def _check_scaling(cfg: Config) -> None:
    scaling = cfg.get('auto_scale_lr') or {}
    if not scaling.get('enable'):
        return
    if not scaling.get('base_batch_size'):
        raise InputError(f'--auto-scale-lr: {cfg.filename} does not say which batch size its '
                         'learning rate is for; add auto_scale_lr = dict(base_batch_size=...)')
    if cfg.get('runner_type', 'Runner') != 'Runner':
        raise InputError(f'--auto-scale-lr: {cfg.runner_type} does not count accumulated batches; '
                         'set optim_wrapper.optimizer.lr instead.')


def _use_amp(optim_wrapper: ConfigDict) -> None:
    """Switch a plain optimizer wrapper to bfloat16; one with mixed precision stays."""
    kind = optim_wrapper.setdefault('type', 'OptimWrapper')
    if kind in ('OptimWrapper', 'mmengine.OptimWrapper'):
        optim_wrapper.type = 'vicmae_mm.BF16OptimWrapper'
    elif kind not in ('AmpOptimWrapper', 'mmengine.AmpOptimWrapper', 'vicmae_mm.BF16OptimWrapper'):
        raise InputError(
            f'--amp works with the optimizer wrapper "OptimWrapper"; the config has "{kind}"')
