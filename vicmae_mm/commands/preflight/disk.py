"""Whether the checkpoints of a run fit where they go."""
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn, optim

from .components import hooks
from .findings import Findings

_TWO_STATES = (optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam)


def check_disk(cfg: Config, model: nn.Module | None, findings: Findings) -> None:
    """Compare what the checkpoints take with what is free in the work dir."""
    folder = existing_folder(cfg.work_dir)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        findings.error(f'work_dir {cfg.work_dir} can not be written to ({folder}: '
                       f'{error.strerror}): name another with --work-dir')
        return
    hook = _checkpoint_hook(cfg)
    if model is None or hook is None:
        return
    if hook.get('out_dir'):
        if '://' in hook['out_dir']:
            return
        folder = existing_folder(hook['out_dir'])
    with findings.catch('optim_wrapper'):
        one = checkpoint_bytes(cfg, model, hook.get('save_optimizer', True))
        _compare(one, _num_checkpoints(cfg, hook), folder, _own_bytes(cfg), findings)


def existing_folder(path: str) -> Path:
    """The path, or what of it is there."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def checkpoint_bytes(cfg: Config, model: nn.Module, save_optimizer: bool = True) -> int:
    """Bytes of a checkpoint's tensors: the model, the optimizer's state, the averaged model.

    Args:
        cfg: The config.
        model: Needs no values.
        save_optimizer: As of the checkpoint hook.

    Raises:
        Exception: The optimizer can't be built.
    """
    weights = sum(each.numel() * each.element_size() for each in model.state_dict().values())
    averaged = any(isinstance(hook, dict) and str(hook.get('type')).endswith('EMAHook')
                   for _, hook in hooks(cfg))
    state = _optimizer_bytes(cfg, model) if save_optimizer else 0
    return weights * (2 if averaged else 1) + state


def _optimizer_bytes(cfg: Config, model: nn.Module) -> int:
    wrapper = cfg.get('optim_wrapper') or {}
    if 'optimizer' not in wrapper:  # several optimizers, of a kind of its own
        return 0
    # mixed precision wants the GPU; it makes no difference to the state
    plain = {name: wrapper[name] for name in ('optimizer', 'constructor', 'paramwise_cfg')
             if wrapper.get(name) is not None}
    optimizer: Any = build_optim_wrapper(model, dict(plain, type='mmengine.OptimWrapper')).optimizer
    copies = 2 if isinstance(optimizer, _TWO_STATES) else 1 if _has_momentum(optimizer) else 0
    return copies * sum(
        each.numel() * each.element_size() for group in optimizer.param_groups
        for each in group['params'] if each.requires_grad)


def _has_momentum(optimizer: Any) -> bool:
    return any(group.get('momentum') or 'betas' in group for group in optimizer.param_groups)


def _checkpoint_hook(cfg: Config) -> dict | None:
    """The settings of the checkpoint hook; mmengine adds one where there is none."""
    named = (cfg.get('default_hooks') or {}).get('checkpoint', dict(interval=1))
    return named if isinstance(named, dict) else None


def _num_checkpoints(cfg: Config, hook: dict) -> int:
    """Checkpoints that are there at once: kept, being written, within an epoch, best."""
    kept = hook.get('max_keep_ckpts', -1)
    interval = hook.get('interval', -1)
    if kept < 0 and interval > 0:
        limits = cfg.get('train_cfg') or {}
        total = limits.get('max_epochs') if hook.get('by_epoch', True) else limits.get('max_iters')
        kept = (total or interval) // interval
    best = hook.get('save_best')
    best = len(best) if isinstance(best, (list, tuple)) else int(bool(best))
    return max(kept, 1) + 1 + int(bool(hook.get('mid_epoch_interval'))) + best


def _own_bytes(cfg: Config) -> int:
    """What the checkpoints of the run that is gone on with take: they make place for new ones."""
    if not cfg.get('resume'):
        return 0
    return sum(path.stat().st_size for path in Path(cfg.work_dir).glob('*.pth'))


def _compare(one: int, number: int, folder: Path, own: int, findings: Findings) -> None:
    free = shutil.disk_usage(folder).free
    words = (f'a checkpoint takes about {_size(one)}, {number} at once are {_size(one * number)}; '
             f'{_size(free)} are free in {folder}')
    if free < one or free + own < 2 * one:
        findings.error(f'{words}: not even two fit, and one must be whole while the next is '
                       'written; make room or name another --work-dir')
    elif free + own < number * one:
        findings.warn(f'{words}: make room, or lower default_hooks.checkpoint.max_keep_ckpts')
    else:
        findings.note(f'disk: {words}')


def _size(count: float) -> str:
    for unit in ('bytes', 'kB', 'MB'):
        if count < 1000:
            return f'{count:.3g} {unit}'
        count /= 1000
    return f'{count:,.2f} GB'
