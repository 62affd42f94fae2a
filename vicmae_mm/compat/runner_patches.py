"""Patches of faults in mmengine's ``Runner``."""
import functools
from typing import Any

from vicmae_mm.utils.errors import InputError

from .import_hooks import hooks


@hooks.on_import('mmengine.runner.runner')
def _hooks_switched_off(module: Any) -> None:
    """``default_hooks.NAME=None`` ends in an AssertionError, except for mmengine's own six.

    No report known. Remove when mmengine leaves out every hook that is None.
    """
    default, custom = module.Runner.register_default_hooks, module.Runner.register_custom_hooks

    @functools.wraps(default)
    def register_default_hooks(self: Any, hooks: dict | None = None) -> None:
        from vicmae_mm.engine.hooks.switched_off import LOSSES
        # A hook without methods in its place, so that mmengine adds none of its own.
        nothing, given = module.Hook(), dict(hooks or {})
        for name in [name for name, hook in given.items() if hook is None]:
            given[name] = nothing
            loss = f': {LOSSES[name]}' if name in LOSSES else ''
            self.logger.warning(f'default_hooks.{name}=None switches this hook off{loss}.')
        default(self, given)
        self._hooks = [hook for hook in self._hooks if hook is not nothing]

    @functools.wraps(custom)
    def register_custom_hooks(self: Any, hooks: list) -> None:
        custom(self, [hook for hook in hooks if hook is not None])

    module.Runner.register_default_hooks = register_default_hooks
    module.Runner.register_custom_hooks = register_custom_hooks


@hooks.on_import('mmengine.runner.runner')
def _missing_keys(module: Any) -> None:
    """``load_checkpoint`` prints what it misses. No report known. Remove when it logs this."""
    stock = module._load_checkpoint_to_model
    module._load_checkpoint_to_model = functools.partial(stock, logger='current')


@hooks.on_import('mmengine.runner.runner')
def _batch_of_scale_lr(module: Any) -> None:
    """``auto_scale_lr`` ignores ``accumulative_counts``: 512 batches a step scale it by 1/512.

    open-mmlab/mmengine#894, #1080. Here it also counts the pairs in a sample, and scales
    ``base_lr``. Remove when mmengine does all of this.
    """
    stock = module.Runner.scale_lr

    @functools.wraps(stock)
    def scale_lr(self: Any, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        from vicmae_mm.engine.step_size import each_wrapper, step_size
        loader = self._train_dataloader
        try:
            for wrapper in each_wrapper(optim_wrapper):
                size = step_size(self, wrapper)
                self.logger.info(f'{size}.')
                # mmengine multiplies this number by that of the processes.
                self._train_dataloader = dict(batch_size=size.per_process)
                before = wrapper.optimizer.param_groups[0]['lr']
                stock(self, wrapper, auto_scale_lr)
                if wrapper.base_param_settings and before:  # what the log has as base_lr
                    wrapper.base_param_settings['lr'] *= (
                        wrapper.optimizer.param_groups[0]['lr'] / before)
        except InputError as error:
            if auto_scale_lr and auto_scale_lr.get('enable'):
                raise InputError(f'--auto-scale-lr: {error}') from None
        finally:
            self._train_dataloader = loader

    module.Runner.scale_lr = scale_lr
