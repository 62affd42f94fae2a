"""Check that the checkpoints of a run fit on the disk."""
import inspect
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import OptimWrapper
from rich.filesize import decimal
from torch import nn, optim

from vicmae_mm.engine.step_size import each_wrapper

from .findings import Findings

_TWO_STATES = (optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam)


def check_work_dir(work_dir: str, findings: Findings) -> None:
    """Check that the work dir can be written to, or created."""
    folder = _existing_folder(work_dir)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        findings.error(f'cannot write to work_dir {work_dir} ({folder}: {error.strerror}): '
                       'choose another with --work-dir')


def check_checkpoints(runner: Any, findings: Findings) -> None:
    """Check the arguments of saving, and that the checkpoints of a runner fit on the disk."""
    hook = (runner.cfg.get('default_hooks') or {}).get('checkpoint') or {}
    for each in runner.hooks:
        if isinstance(each, CheckpointHook):  # hands them on, in the first save
            inspect.signature(runner.save_checkpoint).bind('', '', **each.args)
    optimizers = [each.optimizer for each in each_wrapper(runner.optim_wrapper)
                  if isinstance(each, OptimWrapper) and hook.get('save_optimizer', True)]
    averaged = any(isinstance(each, EMAHook) for each in runner.hooks)
    check_disk(runner.cfg, checkpoint_bytes(runner.model, optimizers, averaged), findings)


def check_disk(cfg: Config, one: int, findings: Findings) -> None:
    """Compare the size of the checkpoints, of ``one`` byte(s) each, with the free space."""
    # mmengine adds a checkpoint hook where the config names none.
    hook = (cfg.get('default_hooks') or {}).get('checkpoint', dict(interval=1))
    if not isinstance(hook, dict) or '://' in (hook.get('out_dir') or ''):
        return
    target = Path(cfg.work_dir)
    # To another folder, the hook adds the name of the work dir.
    if (out_dir := hook.get('out_dir')) and out_dir != cfg.work_dir:
        target = Path(out_dir, target.name)
    # A resumed run deletes its checkpoints as it writes new ones.
    files = target.glob('*.pth') if cfg.get('resume') else ()
    old, number = sum(path.stat().st_size for path in files), _num_checkpoints(cfg, hook)
    folder = _existing_folder(target)
    free = shutil.disk_usage(folder).free
    sizes = (f'a checkpoint takes about {decimal(one)}, {number} at once take '
             f'{decimal(one * number)}; {decimal(free)} are free in {folder}')
    if free < one or free + old < 2 * one:
        findings.error(f'{sizes}: not even two fit, and one must be kept until the next is '
                       'written; free some space or choose another --work-dir')
    elif free + old < number * one:
        findings.warn(f'{sizes}: free some space, or lower default_hooks.checkpoint.max_keep_ckpts')
    else:
        findings.note(f'disk: {sizes}')


def _existing_folder(path: str | Path) -> Path:
    """The path or, if it does not exist, its innermost parent that does."""
    path = Path(path).absolute()
    return next(filter(Path.exists, (path, *path.parents)))


def checkpoint_bytes(model: nn.Module, optimizers: list[Any], averaged: bool = False) -> int:
    """Bytes of a checkpoint's tensors: the model, the optimizers' states, the averaged model.

    The tensors need no values.
    """
    weights = sum(each.numel() * each.element_size() for each in model.state_dict().values())
    return weights * (2 if averaged else 1) + sum(map(_optimizer_bytes, optimizers))


def _optimizer_bytes(optimizer: Any) -> int:
    groups = optimizer.param_groups
    has_momentum = any(group.get('momentum') or 'betas' in group for group in groups)
    copies = 2 if isinstance(optimizer, _TWO_STATES) else int(has_momentum)
    return copies * sum(each.numel() * each.element_size() for group in groups
                        for each in group['params'] if each.requires_grad)


def _num_checkpoints(cfg: Config, hook: dict) -> int:
    """Checkpoints that exist at once: kept, being written, within an epoch, best."""
    kept = hook.get('max_keep_ckpts', -1)
    interval = hook.get('interval', -1)
    if interval > 0 and kept < 0:
        limits = cfg.get('train_cfg') or {}
        total = limits.get('max_epochs' if hook.get('by_epoch', True) else 'max_iters')
        kept = (total or interval) // interval
    best = hook.get('save_best')
    best = len(best) if isinstance(best, (list, tuple)) else int(bool(best))
    in_epochs = hook.get('mid_epoch_interval') or 'SafeCheckpointHook' in str(hook.get('type'))
    return max(kept, 1) + 1 + int(bool(in_epochs)) + best
