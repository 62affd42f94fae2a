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
    """Compile encoder and decoder before training (see :func:`compile_model`).

    Add it with ``custom_hooks=[dict(type='vicmae_mm.CompileHook')]``; the first step then takes
    about a minute.

    Args:
        **options: Options of ``torch.compile``, such as ``mode='max-autotune-no-cudagraphs'``.

    Raises:
        ImportError: torch is older than 2.5 (2.1 and 2.4 fail; tested with 2.11 and 2.12).
    """

    # mmengine's own ``compile=True`` is no alternative: it compiles all of ``train_step``, with
    # optimizer and logging, which fails in most versions of torch if paramwise_cfg is set.

    def __init__(self, **options: Any) -> None:
        if digit_version(torch.__version__) < digit_version('2.5.0'):
            raise ImportError(f'torch {torch.__version__} cannot trace the layers of mmengine: '
                              'remove CompileHook, or use torch 2.11 or later.')
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile the model."""
        compile_model(unwrapped_model(runner), **self.options)
        runner.logger.info('The first step compiles encoder and decoder, in about a minute.')
