"""``torch.compile`` by config, for the parts in which a ViC-MAE step spends its time."""
from functools import wraps
from types import MethodType
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import digit_version
from torch import Tensor, nn

from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.models import ViCMAEViT
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile encoder and decoder before training (see :func:`compile_model`).

    Add ``custom_hooks=[dict(type='vicmae_mm.CompileHook')]``; the first step then takes a minute.
    With torch before 2.5, an ImportError (2.1 and 2.4 fail; tested with 2.11 and 2.12).

    Args:
        **options: Options of ``torch.compile``, such as ``mode='max-autotune-no-cudagraphs'``.
    """

    # mmengine's own ``compile=True`` is no alternative: it compiles all of ``train_step``, with
    # optimizer and logging, which fails in most versions of torch if paramwise_cfg is set.

    def __init__(self, **options: Any) -> None:
        if digit_version(torch.__version__) < digit_version('2.5.0'):
            raise ImportError(f'torch {torch.__version__} cannot trace the layers of mmengine: '
                              'remove CompileHook, or use torch 2.11 or later.')
        self.options = options

    def before_train(self, runner: Runner) -> None:
        compile_model(unwrapped_model(runner), **self.options)
        runner.logger.info('The first step compiles encoder and decoder, in about a minute.')


def compile_model(model: Any, **options: Any) -> None:
    """Compile the encoder and decoder of a ``ViCMAE`` in place, for training only.

    Parameters, their names and the state dict do not change. Batches of one size
    (``drop_last=True``) compile once. Of a backbone other than ``ViCMAEViT``, ``forward`` is
    compiled. ``options`` are those of ``torch.compile``.
    """
    backbone = model.backbone
    if not isinstance(backbone, ViCMAEViT):
        backbone.compile(dynamic=False, **options)
        return
    # Drawing masks and communication between processes stay outside: either would break the graph.
    _compile_method(backbone, 'encode_visible', **options)
    if model.with_neck:
        _compile_method(model, 'hidden_patch_loss', **options)


def _compile_method(module: nn.Module, name: str, **options: Any) -> None:
    plain = getattr(type(module), name)
    compiled = torch.compile(plain, dynamic=False, fullgraph=True, **options)

    @wraps(plain)
    def in_training(self: nn.Module, *args: Tensor) -> Tensor:
        # Evaluation only draws pictures of a few frames: another shape is not worth a graph.
        return (compiled if self.training else plain)(self, *args)

    # A bound method, not a closure over the module: copying the model binds it to the copy.
    setattr(module, name, MethodType(in_training, module))
