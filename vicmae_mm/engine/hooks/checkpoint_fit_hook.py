"""Refusing the checkpoint of another model before anything of it is used."""
import re
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.checkpoints.fit import check_fit
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Stop where mmengine would warn and go on with random weights.

    A run that is resumed or tested must find exactly its own model in the checkpoint, and one that
    is resumed the parameter groups of its optimizer. ``load_from`` may bring a training run a part
    of it, such as an encoder, but not nothing.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes with the model's.

        Raises:
            ValueError: If the checkpoint does not fit, with what it looks like.
        """
        model = unwrapped_model(runner)
        # mmengine strips what DistributedDataParallel puts in front, too
        found = {re.sub(r'^module\.', '', key): value
                 for key, value in checkpoint.get('state_dict', checkpoint).items()}
        wanted = model.state_dict()
        config = runner.cfg.filename or 'this run'
        if runner._resume:
            name = str(runner._load_from or f'The newest checkpoint in {runner.work_dir}')
            check_fit(found, wanted, name, config)
            _check_groups(checkpoint.get('optimizer', {}), runner.optim_wrapper, name)
        elif current_task(runner) in ('val', 'test'):
            try:
                model.load_state_dict(found)  # with its load hooks, which resize tables
            except RuntimeError as error:
                check_fit(found, wanted, runner._load_from, config)
                raise InputError(f'{runner._load_from}: {error}') from None
        elif not any(key in wanted and wanted[key].shape == value.shape
                     for key, value in found.items()):
            raise InputError(
                f'{runner._load_from} has not one parameter of the model of {config}. It looks '
                f'like {describe_family(found)}: load_from needs the names of mmpretrain, with '
                "the encoder under 'backbone.'.")


def _check_groups(saved: dict, optim_wrapper: Any, name: str) -> None:
    """Compare the sizes of an optimizer's parameter groups; torch only says that they differ."""
    optimizer = getattr(optim_wrapper, 'optimizer', None)
    if optimizer is None or 'param_groups' not in saved:  # several optimizers, or none
        return
    found, wanted = ([len(group['params']) for group in groups]
                     for groups in (saved['param_groups'], optimizer.param_groups))
    if found != wanted:
        raise InputError(
            f'{name} has {len(found)} parameter groups ({sum(found)} parameters) in its optimizer, '
            f'but optim_wrapper makes {len(wanted)} ({sum(wanted)}): resume with the optim_wrapper '
            'that it was trained with. Where that had no constructor, add --cfg-options '
            'optim_wrapper.constructor=DefaultOptimWrapperConstructor')
