"""``torch.compile`` where a ViC-MAE step spends its time."""
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from vicmae_mm.models import ViCMAEViT


def compile_model(model: Any, **options: Any) -> None:
    """Compile encoder and decoder in place, as training uses them.

    Parameters, their names and the state dict stay as they are. Everything that draws random
    numbers or talks to other processes stays outside, so that there is one graph each, without
    breaks, for each shape of a batch: batches of one size (``drop_last=True``) compile once. In
    evaluation, where pictures of a few frames are made, nothing is compiled.

    Args:
        model: A ``ViCMAE``. Of another backbone than ``ViCMAEViT``, ``forward`` is compiled.
        **options: Of ``torch.compile``.
    """
    backbone = model.backbone
    if not isinstance(backbone, ViCMAEViT):
        backbone.compile(dynamic=False, **options)
        return
    _compile_method(backbone, 'encode_visible', **options)
    if model.with_neck:
        _compile_method(model, 'hidden_patch_loss', **options)


def _compile_method(module: nn.Module, name: str, **options: Any) -> None:
    plain = getattr(type(module), name)
    compiled = torch.compile(plain, dynamic=False, fullgraph=True, **options)

    @wraps(plain)
    def in_training(self: nn.Module, *args: Tensor) -> Tensor:
        return (compiled if self.training else plain)(self, *args)

    # A method of the module, not a function that holds it: a copy's is bound to the copy's weights
    setattr(module, name, MethodType(in_training, module))
