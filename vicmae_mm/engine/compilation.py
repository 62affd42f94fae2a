"""``torch.compile`` where a ViC-MAE step spends its time."""
from typing import Any

import torch

from vicmae_mm.models import ViCMAEViT


def compile_model(model: Any, **options: Any) -> None:
    """Compile encoder and decoder in place, as training uses them.

    Parameters, their names and the state dict stay as they are. Everything that draws random
    numbers or talks to other processes stays outside, so that there is one graph each, without
    breaks, for each shape of a batch: batches of one size (``drop_last=True``) compile once.

    Args:
        model: A ``ViCMAE``. Of another backbone than ``ViCMAEViT``, ``forward`` is compiled.
        **options: Of ``torch.compile``.
    """
    backbone = model.backbone
    if not isinstance(backbone, ViCMAEViT):
        backbone.compile(dynamic=False, **options)
        return
    parts = [(backbone, 'encode_visible')]
    if model.with_neck:
        parts.append((model, 'hidden_patch_loss'))
    for part, method in parts:
        compiled = torch.compile(getattr(part, method), dynamic=False, fullgraph=True, **options)
        setattr(part, method, compiled)
