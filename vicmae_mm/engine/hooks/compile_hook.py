"""``torch.compile`` by config."""
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import digit_version

from vicmae_mm.engine.compilation import compile_model
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the heavy parts of the model before training (:func:`compile_model` says which).

    mmengine's own ``compile=True`` compiles ``train_step`` with all that is in it, loggers and
    optimizer included. Add this one by ``custom_hooks=[dict(type='vicmae_mm.CompileHook')]``; the
    first step takes a minute then.

    Args:
        **options: Of ``torch.compile``, such as ``mode='max-autotune-no-cudagraphs'``.

    Raises:
        ImportError: With a torch that can't trace mmengine's layers, as 2.1 and 2.4 can't. 2.11 and
            2.12 can; those between were not tried.
    """

    def __init__(self, **options: Any) -> None:
        if digit_version(torch.__version__) < digit_version('2.5.0'):
            raise ImportError(f'torch {torch.__version__} can not trace the layers of mmengine: '
                              'leave CompileHook out, or use torch 2.11 or later.')
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile."""
        compile_model(unwrapped_model(runner), **self.options)
        runner.logger.info('Encoder and decoder are compiled in the first step: it takes a minute.')
