"""The shapes of a model's loss on a batch, without weights and arithmetic.

torch's ``FakeTensorMode`` carries shapes and types through the code that training runs.
"""
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.model.utils import _BatchNormXd
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.models.view_layout import split_views

from .findings import Findings, describe

# Raised where the values of a tensor are needed; fake tensors have none.
_NO_VALUES = (
    fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException, fake_tensor.UnsupportedOperatorException)
_NO_NUMPY = 'tensor subclasses'  # in the error of .numpy(), as mmaction2's accuracies call it


def build_without_values(settings: dict) -> tuple[nn.Module, FakeTensorMode]:
    """Build a model whose tensors have shapes but no values, and the mode for computing with it."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            return MODELS.build(settings), mode
    except Exception:
        # A few backbones compute Python numbers with tensors (drop path rates, say).
        model = MODELS.build(settings)
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = mode.from_tensor(tensor)
    return model, mode


def check_loss(model: Any, mode: FakeTensorMode, settings: dict, batch: Any, findings: Findings,
               last: int = 0, is_test: bool = False) -> int:
    """Compute the shapes of the loss in training, or of predictions.

    ``last`` is the number of samples if this is the last batch of an epoch, smaller than the
    others. Returns the number of views (frames or clips) of a sample, as the model gets them.
    """
    shapes, num_views, real, remark = _shapes(batch), 1, None, ''
    try:
        # A preprocessor may look at values in the samples, so the batch passes it unfaked.
        if settings.get('data_preprocessor'):
            prepared = MODELS.build(settings['data_preprocessor'])(batch, not is_test)
        else:
            with mode:
                prepared = model.data_preprocessor(batch, not is_test)
        shapes = _shapes(prepared)
        with suppress(Exception):  # a model that takes no views
            num_views = len(split_views(prepared['inputs'], prepared.get('data_samples')))
        with mode:
            model.train(not is_test)(**prepared, mode='predict' if is_test else 'loss')
    except Exception as error:
        if _NO_NUMPY in str(error):
            remark = '; its metrics were not checked'
        elif needs_values(error):
            remark = '; what depends on values was not checked'
        elif user_message(error):
            real = model, error
        elif is_test:  # to predict with values could take minutes: there may be dozens of views
            remark = f'? Without values, it fails: {describe(error)}'
        else:  # an error of torch may only be due to missing values: compute the loss to find out
            remark = ', computed on the CPU'
            real = error_with_values(settings, lambda model: model.train()(
                **model.data_preprocessor(batch, True), mode='loss'))
    if real:
        _report(*real, shapes, last, findings)
    else:
        findings.note(f'model: {"" if is_test else "its loss "}takes batches of {shapes}{remark}')
    return num_views


def needs_values(error: BaseException) -> bool:
    """Whether an error says that tensors have no values."""
    return isinstance(error, _NO_VALUES) or _NO_NUMPY in str(error)


def error_with_values(settings: dict, use: Callable[[Any], object]) -> tuple[Any, Exception] | None:
    """The model built with values, and the error of using it; None if there is no error."""
    model = MODELS.build(settings)
    try:
        use(model)
    except Exception as error:
        return model, error
    return None


def _report(model: Any, error: Exception, shapes: str, last: int, findings: Findings) -> None:
    name, module = _innermost(model, error)
    if 'more than 1 value per channel' not in str(error):
        words = f'{name}: {describe(error)}'
        if user_message(error) is None:
            words += (f' (samples: {shapes}; train_dataloader.dataset.pipeline must match the '
                      'model)')
    # It stands in for a SyncBatchNorm, which sees the other processes but needs a GPU.
    elif isinstance(module, _BatchNormXd) and get_world_size() > 1:
        return
    else:
        words = (f'{name} (BatchNorm) would use the statistics of a single sample: set '
                 'train_dataloader.batch_size to 2 or more')
        if get_world_size() > 1:
            words += ", or its norm_cfg=dict(type='vicmae_mm.SyncBN1d')"
    if last:
        words = (f'the last batch of an epoch has {last} sample(s): set train_dataloader.drop_last='
                 f'True ({words})')
    findings.error(words)


def _innermost(model: nn.Module, error: Exception) -> tuple[str, nn.Module]:
    """The innermost module that an exception passed through, and its place in the config."""
    names = {module: f'model.{name}'.rstrip('.') for name, module in model.named_modules()}
    found, trace = model, error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get('self')
        if isinstance(module, nn.Module) and module in names:
            found = module
        trace = trace.tb_next
    return names[found], found


def _shapes(inputs: Any) -> str:
    """Shapes of a batch's tensors without the batch size: ``2 x (3, 224, 224) float32``."""
    if isinstance(inputs, dict):
        inputs = inputs.get('inputs')
    if isinstance(inputs, Tensor):
        return f'{tuple(inputs.shape[1:])} {str(inputs.dtype).removeprefix("torch.")}'
    tensors = [each for each in inputs or () if isinstance(each, torch.Tensor)]
    shapes = dict.fromkeys(_shapes(each) for each in tensors)
    return f'{len(tensors)} x {" and ".join(shapes)}' if tensors else type(inputs).__name__
