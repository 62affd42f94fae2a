"""Patches of faults in mmengine's ``Runner``."""
import functools
from typing import Any

from vicmae_mm.utils.errors import InputError

from .import_hooks import hooks


@hooks.on_import('mmengine.runner.runner')
def _hooks_switched_off(module: Any) -> None:
    """``default_hooks.NAME=None`` ends in an AssertionError, but for six names of mmengine's own.

    No report known. Remove when mmengine leaves out every hook that is None.
    """
    stock_default, stock_custom = (
        module.Runner.register_default_hooks, module.Runner.register_custom_hooks)

    @functools.wraps(stock_default)
    def register_default_hooks(self: Any, hooks: dict | None = None) -> None:
        from vicmae_mm.engine.hooks.switched_off import describe_switched_off
        off = [name for name, hook in (hooks or {}).items() if hook is None]
        for line in describe_switched_off(off):
            self.logger.warning(line)
        # A hook without methods in its place, so that mmengine adds none of its own.
        nothing = module.Hook()
        stock_default(self, hooks and {
            name: nothing if hook is None else hook for name, hook in hooks.items()})
        self._hooks = [hook for hook in self._hooks if hook is not nothing]

    @functools.wraps(stock_custom)
    def register_custom_hooks(self: Any, hooks: list) -> None:
        stock_custom(self, [hook for hook in hooks if hook is not None])

    module.Runner.register_default_hooks = register_default_hooks
    module.Runner.register_custom_hooks = register_custom_hooks


@hooks.on_import('mmengine.runner.runner')
def _batch_of_scale_lr(module: Any) -> None:
    """``auto_scale_lr`` ignores ``accumulative_counts``: 512 batches a step scale it by 1/512.

    open-mmlab/mmengine#894, #1080. Here it also counts the pairs in a sample. Remove when mmengine
    counts both.
    """
    stock = module.Runner.scale_lr

    @functools.wraps(stock)
    def scale_lr(self: Any, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        from vicmae_mm.engine.step_size import each_wrapper, step_size
        enabled = (auto_scale_lr or {}).get('enable', False)
        for wrapper in each_wrapper(optim_wrapper):
            try:
                size = step_size(self, wrapper)
            except InputError as error:
                if enabled:
                    raise InputError(f'--auto-scale-lr: {error}') from None
                return
            self.logger.info(f'{size}.')
            # mmengine multiplies this number by that of the processes.
            loader, self._train_dataloader = self._train_dataloader, dict(
                batch_size=size.per_process)
            try:
                stock(self, wrapper, auto_scale_lr)
            finally:
                self._train_dataloader = loader

    module.Runner.scale_lr = scale_lr
