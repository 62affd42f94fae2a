"""What a training starts from; the table is in docs/checkpoints.md."""
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from torch import nn

from vicmae_mm.checkpoints.resume import choose_checkpoint
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.utils.atomic_files import remove_leftovers
from vicmae_mm.utils.errors import InputError

AUTO = 'auto'  # value of ``resume`` that ``--resume`` without a path sets
_MID_EPOCH = 'iter_*.pth'
_decided: WeakSet[Runner] = WeakSet()


def choose_start(runner: Runner) -> None:
    """Decide what a training starts from, log it in one line, and set it in the runner.

    Called on every process, by everything that needs it; only the first call has an effect.
    Then ``runner._resume`` is a bool, ``runner._load_from`` the checkpoint to use, or None. If all
    checkpoints of the work dir are damaged, or the tool that started the run has dropped the
    ``load_from`` of the config, a ValueError is raised.
    """
    if runner in _decided or current_task(runner) != 'train':
        return
    _decided.add(runner)
    epochs = runner.cfg.get('epochs')
    if epochs not in (None, runner.max_epochs):
        raise InputError(f"epochs={epochs} takes effect with vicmae train; the "
                         f'tool that started this run makes it {runner.max_epochs} long.')
    asked, load_from, model = runner._resume, runner._load_from, unwrapped_model(runner)
    path, what = _to_resume(runner, asked, load_from)
    runner._resume, runner._load_from = path is not None, path or load_from
    log = runner.logger.info
    if path is not None:
        line = f'Training resumes {path}{what}.'
        if load_from not in (None, path):
            log, line = runner.logger.warning, f'{line} load_from={load_from} is not used.'
        for _, module, _ in pretrained_modules(model):
            # The file may not exist, and its weights would be replaced anyway.
            module.init_cfg = None
    else:
        if asked:
            log = runner.logger.warning
        files = [f'load_from={load_from}'] if load_from is not None else [
            f'{name}.init_cfg={cfg["checkpoint"]}'
            for name, _, cfg in pretrained_modules(model) if cfg['checkpoint']]
        source = f'the weights in {", ".join(files)}' if files else (
            "the model's own initialisation: there is no load_from, and no init_cfg with a "
            'checkpoint')
        line = f'{what}Training starts from {source}.'
    log(line)


def _to_resume(runner: Runner, asked: bool | str, load_from: str | None) -> tuple[str | None, str]:
    """The checkpoint to resume, if any, and words that explain it."""
    if isinstance(asked, str) and asked != AUTO:
        return asked, ''
    if asked and asked != AUTO and load_from is not None:
        return load_from, ', which load_from names (resume=True)'
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    folder = checkpoint_folder(hook, runner) if hook else runner.work_dir
    patterns = [hook.filename_tmpl.format('*') if hook else 'epoch_*.pth', _MID_EPOCH]
    if asked:
        newest = choose_checkpoint(runner.work_dir, folder, patterns)
        # Other tools of OpenMMLab set load_from=None for --resume, whatever the config says.
        file = runner.cfg.filename if newest is None and asked != AUTO else None
        if file and os.path.isfile(file) and (named := Config.fromfile(file).get('load_from')):
            raise InputError(
                f'There is no checkpoint to resume, and load_from={named} of {file} was dropped by '
                'the tool that started this run: start it without --resume the first time, or use '
                'vicmae train.')
        return newest, (', the newest undamaged checkpoint' if newest else
                        f'There is no checkpoint in {runner.work_dir} to resume. ')
    if any(any(Path(folder).glob(pattern)) for pattern in patterns):
        runner.logger.warning(
            f'{folder} contains checkpoints of an earlier run: until this run has saved its '
            'first, --resume continues from those. Use another --work-dir to keep both.')
    return None, ''


def checkpoint_folder(hook: CheckpointHook, runner: Runner) -> str:
    """Where a hook will save; until training starts, its ``out_dir`` is that of the config."""
    if hook.out_dir is None or hook.out_dir == runner.work_dir:
        return runner.work_dir
    return os.path.join(hook.out_dir, os.path.basename(runner.work_dir.rstrip(os.sep)))


def clean_folder(folder: str, runner: Runner) -> None:
    """Remove what killed runs have left, and nothing that is not a run's."""
    if is_main_process():
        for place in {folder, runner.work_dir}:
            for part in remove_leftovers(place):
                runner.logger.info(f'Removed {part}, left by a killed run.')
    # A manipulated checkpoint could otherwise have any file or folder deleted later.
    info = runner.message_hub.runtime_info
    for key in ('keep_ckpt_ids', 'mid_epoch_ids'):
        if key in info:
            info[key] = [step for step in info[key] if type(step) is int]
    for key in [key for key in info if key.startswith('best_ckpt')]:
        name = os.path.basename(str(info[key]))
        info[key] = os.path.join(folder, name) if name.startswith('best_') else None


def pretrained_modules(model: nn.Module) -> Iterator[tuple[str, Any, dict]]:
    """Name (``'model.backbone'``), module and settings of each ``init_cfg`` with a checkpoint."""
    for name, module in model.named_modules():
        cfgs = getattr(module, 'init_cfg', None) or []
        for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
            if 'checkpoint' in cfg and 'type' not in cfg:
                # By --cfg-options model.backbone.init_cfg.checkpoint=PATH, over a config without.
                cfg.update(type='Pretrained', prefix=cfg.get('prefix', name and f'{name}.') or None)
            if cfg['type'] in ('Pretrained', PretrainedInit):
                yield f'model.{name}'.rstrip('.'), module, cfg
