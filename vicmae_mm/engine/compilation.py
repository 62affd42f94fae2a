"""``torch.compile`` where a ViC-MAE step spends its time."""
from typing import Any

import torch
from torch import nn

from vicmae_mm.models import ViCMAE


def compile_model(model: nn.Module, **options: Any) -> None:
    """Compile the encoder's and the decoder's part of the loss in place.

    Parameters, their names and the state dict stay as they are. Everything that draws random
    numbers or talks to other processes stays outside, so that there is one graph each, without
    breaks, for each shape of a batch: batches of one size (``drop_last=True``) compile once.

    Args:
        model: A ``ViCMAE`` or mmengine model whose ``backbone`` is compiled then.
        **options: Of ``torch.compile``.
    """
    options = dict(dynamic=False, **options)
    if isinstance(model, ViCMAE) and model.with_neck:
        options['fullgraph'] = True
        model.backbone.encode_visible = torch.compile(model.backbone.encode_visible, **options)
        model.hidden_patch_loss = torch.compile(model.hidden_patch_loss, **options)
    else:
        model.backbone.compile(**options)
