"""Access to a runner's unwrapped model, to its batches and to its current task."""
from typing import Any

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor

from vicmae_mm.models.view_layout import split_views


def unwrapped_model(runner: Runner) -> Any:
    """The runner's model without DistributedDataParallel or test-time augmentation."""
    model = runner.model
    return model.module if is_model_wrapper(model) or isinstance(model, BaseTTAModel) else model


def backbone_inputs(model: Any, batch: Any) -> Tensor:
    """All views of a pre-training batch, without augmentation, as ``model.backbone`` gets them."""
    return torch.cat(split_views(model.data_preprocessor(batch, False)['inputs']))


def current_task(runner: Runner) -> str:
    """The running method of the runner: ``'train'``, ``'val'`` or ``'test'``, else ``''``."""
    # Each builds its loops before the first hook runs; training may build validation's, too.
    for task in ('train', 'val', 'test'):
        if isinstance(getattr(runner, f'_{task}_loop'), BaseLoop):
            return task
    return ''
