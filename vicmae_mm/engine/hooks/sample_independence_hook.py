"""Refusing a backbone whose features of a sample depend on the rest of the batch."""
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from vicmae_mm.engine.runner_access import backbone_inputs, unwrapped_model
from vicmae_mm.models.modes import evaluated_outputs
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, UserError

_TOLERANCE = 1e-3  # relative; equal computations differ far less, TSM mixes 10 to 20 %


@HOOKS.register_module()
class SampleIndependenceHook(Hook):
    """Compare the features of one sample with and without its neighbours before the first step.

    A backbone that takes consecutive images of a batch for frames of one video, as ``ResNetTSM``
    does, would mix different videos. The backbone is run twice on the first batch, in evaluation
    mode, where BatchNorm mixes nothing; the second time with all samples but one replaced. If the
    features of that one differ, every process raises a ValueError.
    """

    def __init__(self) -> None:
        self._checked = False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check the backbone on the run's first batch."""
        model = unwrapped_model(runner)
        if self._checked or not isinstance(getattr(model, 'backbone', None), nn.Module):
            return
        self._checked = True
        inputs = backbone_inputs(model, data_batch)
        try:
            change = torch.tensor(neighbour_effect(model.backbone, inputs), device=inputs.device)
        except (UserError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a network raises on inputs of another kind
            raise InputError(
                f'{type(model.backbone).__name__} cannot encode the views of the data, '
                f'{tuple(inputs.shape)}: {type(error).__name__}: {error}. Frames and clips need '
                'backbones of their own (docs/backbones.md).') from error
        all_reduce(change, 'max')
        if change > _TOLERANCE:
            raise InputError(
                f'{type(model.backbone).__name__} mixes the samples of a batch: replacing the '
                f'others changes the features of one by {float(change):.1%}. A backbone that takes '
                'consecutive samples for frames of one video (num_segments, num_frames) cannot '
                'tell different videos apart here: use one of single images, such as '
                'mmaction.ResNet, or pairs of clips with one of clips (docs/backbones.md).')


@torch.no_grad()
def neighbour_effect(backbone: nn.Module, inputs: Tensor) -> float:
    """Relative change of one sample's features when all others of a batch (N, ...) are replaced."""
    keep = len(inputs) // 2  # has neighbours on both sides, if there are any
    others = -inputs
    others[keep] = inputs[keep]
    changes = [0.]
    for one, two in zip(evaluated_outputs(backbone, inputs), evaluated_outputs(backbone, others),
                        strict=True):
        if one.ndim and len(one) and len(one) % len(inputs) == 0:
            one, two = (each.unflatten(0, (len(inputs), -1))[keep].float() for each in (one, two))
            changes.append(float((one - two).norm() / one.norm().clamp_min(1e-12)))
    return max(changes)
