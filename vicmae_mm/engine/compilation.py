"""``torch.compile`` for the parts in which a ViC-MAE step spends its time."""
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from vicmae_mm.models import ViCMAEViT


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
