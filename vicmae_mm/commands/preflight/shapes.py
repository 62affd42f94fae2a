"""The loss of a model on a batch, followed by its shapes alone: no weights, no computing.

torch's ``FakeTensorMode`` carries shapes and types through the very code that training runs, for
any model, in no memory.
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

# What needs the values of a tensor, which has none here.
_NO_VALUES = (
    fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException, fake_tensor.UnsupportedOperatorException)


def check_shapes(cfg: Config, batch: Any, findings: Findings) -> nn.Module | None:
    """Build the model and follow its loss.

    Args:
        cfg: With ``model``.
        batch: What the collate function made of two samples or more; None leaves out the loss.
        findings: Gets what was found.

    Returns:
        The model, whose tensors have shapes but no values; None if it can't be built.
    """
    settings = dict(cfg.model)
    if cfg.get('data_preprocessor'):  # as mmengine's runner does
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with findings.catch('model'):
        model = _build(settings, mode)
        if batch is not None:
            _follow(model, settings, batch, mode, findings)
        return model
    return None


def _build(settings: dict, mode: FakeTensorMode) -> nn.Module:
    try:
        with mode:
            return MODELS.build(settings)
    except Exception:  # a few backbones compute settings of theirs with tensors
        model = MODELS.build(settings)
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = mode.from_tensor(tensor)
    return model


def _follow(model: Any, settings: dict, batch: Any, mode: FakeTensorMode,
            findings: Findings) -> None:
    """Run the loss on a batch; an error is one of the model or of the samples."""
    shapes = _shapes(batch)
    try:
        if settings.get('data_preprocessor'):  # for real: it may look into the samples
            prepared = MODELS.build(settings['data_preprocessor'])(batch, True)
        else:
            with mode:
                prepared = model.data_preprocessor(batch, True)
        shapes = _shapes(prepared)
        with mode:
            model.train()(**prepared, mode='loss')
    except _NO_VALUES:
        findings.note(f'model: takes batches of {shapes}; what needs their values was left out')
    except Exception as error:
        if 'tensor subclasses' in str(error):  # .numpy(), as the accuracies of mmaction2 do
            findings.note(f'model: takes batches of {shapes}; its metrics were left out')
            return
        if user_message(error) is None:  # torch's, perhaps for want of values: ask again
            model = MODELS.build(settings)
            again = _fails_for_real(model, batch)
            if again is None:
                findings.note(f'model: its loss takes batches of {shapes}, computed for real')
                return
            error = again
        findings.error(f'{_place(model, error)}: {describe(error)} (samples: {shapes}; '
                       'train_dataloader.dataset.pipeline and the model must fit)')
    else:
        findings.note(f'model: its loss takes batches of {shapes}')


def _fails_for_real(model: Any, batch: Any) -> Exception | None:
    """What computing the loss on the CPU raises; slow, and asked only where torch has refused."""
    try:
        model.train()(**model.data_preprocessor(batch, True), mode='loss')
    except Exception as error:
        return error
    return None


def _place(model: nn.Module, error: Exception) -> str:
    """The innermost module that an exception passed through, as a setting names it."""
    names = {module: name for name, module in model.named_modules()}
    place, trace = 'model', error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get('self')
        if isinstance(module, nn.Module) and names.get(module):
            place = f'model.{names[module]}'
        trace = trace.tb_next
    return place


def _shapes(inputs: Any) -> str:
    """Shapes of a batch's tensors without the size of the batch: ``2 x (3, 224, 224) float32``."""
    if isinstance(inputs, dict):
        inputs = inputs.get('inputs')
    if isinstance(inputs, Tensor):
        return f'{tuple(inputs.shape[1:])} {str(inputs.dtype).removeprefix("torch.")}'
    tensors = [each for each in inputs or () if isinstance(each, torch.Tensor)]
    shapes = dict.fromkeys(_shapes(each) for each in tensors)
    return f'{len(tensors)} x {" and ".join(shapes)}' if tensors else type(inputs).__name__
