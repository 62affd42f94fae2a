"""Compute the shapes of a model's loss on a batch, without weights and arithmetic.

torch's ``FakeTensorMode`` carries shapes and types through the code that training runs.
"""
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vicmae_mm.commands.run_tool import user_message

from .findings import Findings, describe

# Raised where the values of a tensor are needed; fake tensors have none.
_NO_VALUES = (
    fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException, fake_tensor.UnsupportedOperatorException)


def check_shapes(cfg: Config, batch: Any, findings: Findings) -> nn.Module | None:
    """Build the model and compute the shapes of its loss.

    Args:
        cfg: With ``model``.
        batch: Two or more collated samples; None skips the loss.

    Returns:
        The model, whose tensors have shapes but no values; None if it cannot be built.
    """
    settings = dict(cfg.model)
    if cfg.get('data_preprocessor'):  # as mmengine's runner does
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with findings.catch('model'):
        model = _build(settings, mode)
        if batch is not None:
            _compute_loss(model, settings, batch, mode, findings)
        return model
    return None


def _build(settings: dict, mode: FakeTensorMode) -> nn.Module:
    try:
        with mode:
            return MODELS.build(settings)
    except Exception:
        # A few backbones compute Python numbers with tensors (drop path rates, say).
        model = MODELS.build(settings)
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = mode.from_tensor(tensor)
    return model


def _compute_loss(model: Any, settings: dict, batch: Any, mode: FakeTensorMode,
                  findings: Findings) -> None:
    shapes = _shapes(batch)
    try:
        # A preprocessor may look at values in the samples, so the batch passes it unfaked.
        if settings.get('data_preprocessor'):
            prepared = MODELS.build(settings['data_preprocessor'])(batch, True)
        else:
            with mode:
                prepared = model.data_preprocessor(batch, True)
        shapes = _shapes(prepared)
        with mode:
            model.train()(**prepared, mode='loss')
    except _NO_VALUES:
        findings.note(f'model: takes batches of {shapes}; what depends on values was not checked')
    except Exception as error:
        if 'tensor subclasses' in str(error):  # .numpy(), as in mmaction2's accuracies
            findings.note(f'model: takes batches of {shapes}; its metrics were not checked')
            return
        # An error of torch may only be due to missing values: compute the loss to find out.
        if user_message(error) is None:
            model = MODELS.build(settings)
            real_error = _error_on_cpu(model, batch)
            if real_error is None:
                findings.note(f'model: its loss takes batches of {shapes}, computed on the CPU')
                return
            error = real_error
        findings.error(f'{_place(model, error)}: {describe(error)} (samples: {shapes}; '
                       'train_dataloader.dataset.pipeline must match the model)')
    else:
        findings.note(f'model: its loss takes batches of {shapes}')


def _error_on_cpu(model: Any, batch: Any) -> Exception | None:
    try:
        model.train()(**model.data_preprocessor(batch, True), mode='loss')
    except Exception as error:
        return error
    return None


def _place(model: nn.Module, error: Exception) -> str:
    """The innermost module that an exception passed through, as a setting of the config."""
    names = {module: name for name, module in model.named_modules()}
    place, trace = 'model', error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get('self')
        if isinstance(module, nn.Module) and names.get(module):
            place = f'model.{names[module]}'
        trace = trace.tb_next
    return place


def _shapes(inputs: Any) -> str:
    """Shapes of a batch's tensors without the batch size: ``2 x (3, 224, 224) float32``."""
    if isinstance(inputs, dict):
        inputs = inputs.get('inputs')
    if isinstance(inputs, Tensor):
        return f'{tuple(inputs.shape[1:])} {str(inputs.dtype).removeprefix("torch.")}'
    tensors = [each for each in inputs or () if isinstance(each, torch.Tensor)]
    shapes = dict.fromkeys(_shapes(each) for each in tensors)
    return f'{len(tensors)} x {" and ".join(shapes)}' if tensors else type(inputs).__name__
