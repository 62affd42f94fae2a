"""The views of a batch, whichever way a pipeline and its collate function arranged them."""
from collections.abc import Sequence
from typing import Any

from mmaction.structures import ActionDataSample
from torch import Tensor

from vicmae_mm.utils.errors import InputError

_CHANNELS = 3
_LAYOUTS = ('a list of views (B, 3, H, W) or (B, 3, T, H, W), one tensor (B, views, 3, H, W) or '
            '(B, views, 3, T, H, W), or a single view')


def split_views(inputs: Any, data_samples: Any = None) -> list[Tensor]:
    """Return the views of a batch: images (B, 3, H, W) or clips (B, 3, T, H, W), all of one shape.

    ============================================  =============================================
    ``inputs``                                    views
    ============================================  =============================================
    list of V tensors                             its items
    (B, V, 3, H, W), (B, V, 3, T, H, W)           ``[:, 0]``, ``[:, 1]``, ... (mmaction2's packing)
    (B, 3, H, W); (B, 3, T, H, W), T other than 3 one
    ============================================  =============================================

    ``data_samples``, if they are a list, are used to distinguish samples from views in ``inputs``.

    Raises:
        ValueError: For other layouts, and (B, 3, 3, H, W): three images or a clip of three frames.
    """
    views = _unstacked(inputs) if isinstance(inputs, Tensor) else inputs
    tensors = isinstance(views, Sequence) and all(isinstance(view, Tensor) for view in views)
    shapes = list(dict.fromkeys(tuple(view.shape) for view in views)) if tensors else []
    if len(shapes) > 1:
        raise InputError(f'The views of a batch must have one shape, but theirs are {shapes}: '
                         'crop or resize them to the same size and number of frames.')
    if not shapes or len(shapes[0]) not in (4, 5) or shapes[0][1] != _CHANNELS:
        found = f'{len(views)} view(s) of shape {shapes[0]}' if shapes else 'no stacked views'
        raise InputError(f'A batch must be {_LAYOUTS}, with 3 channels, but this '
                         f'{type(inputs).__name__} has {found}. Unstacked samples need '
                         "train_dataloader.collate_fn=dict(type='default_collate').")
    if isinstance(data_samples, (list, tuple)) and _are_samples(inputs, views, data_samples):
        raise InputError(
            f'The batch has {len(data_samples)} samples, but its inputs look like {len(views)} '
            f'view(s) of {shapes[0][0]} samples, or samples and views are swapped. Set '
            "data_preprocessor.type='vicmae_mm.PairDataPreprocessor' and collate_fn=dict("
            "type='default_collate'), or for mmaction2's PackActionInputs "
            "data_preprocessor.type='mmaction.ActionDataPreprocessor'.")
    return list(views)


def rows_by_source(data_samples: Any) -> dict[str, list[int]]:
    """Rows of the samples from each source of a ``MixedPairs``; empty for other datasets."""
    samples = data_samples if isinstance(data_samples, (list, tuple)) else ()
    # All sources, not only those of this batch, so that all processes log the same.
    names = next((sample.sources for sample in samples if hasattr(sample, 'sources')), ())
    if any('loss' in name for name in names) or not all(
            hasattr(sample, 'source') for sample in samples if names):
        raise InputError(f'The sources {names} cannot be logged: one has "loss" in its name, which '
                         'mmengine adds to the loss, or a dataset is outside of MixedPairs.')
    return {name: [row for row, sample in enumerate(samples) if sample.source == name]
            for name in names}


def _are_samples(inputs: Any, views: Sequence[Tensor], data_samples: Sequence[Any]) -> bool:
    """Whether the first axis or list of ``inputs`` may be that of the samples."""
    number = len(data_samples)
    if number != len(views[0]):
        return True
    # With as many samples as views the kind of the samples decides: mmaction2 packs one tensor
    # per sample, all others pack lists, which preprocessors other than ours stack view by view.
    of_mmaction = isinstance(data_samples[0], ActionDataSample)
    return number == len(views) > 1 and of_mmaction != isinstance(inputs, Tensor)


def _unstacked(inputs: Tensor) -> Sequence[Tensor]:
    shape = tuple(inputs.shape)
    if shape[1:3] == (_CHANNELS, _CHANNELS) and len(shape) == 5:
        raise InputError(f'A batch of shape {shape} is three images or a clip of three frames per '
                         'sample: pass the views as a list, or use another number of frames.')
    # (B, V, C, ...); where the second axis is the channels, the tensor is a single view.
    stacked = len(shape) == 6 or (len(shape) == 5 and shape[2] == _CHANNELS)
    return inputs.unbind(1) if stacked else [inputs]
