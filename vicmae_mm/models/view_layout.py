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

    Args:
        inputs: As above, of any type.
        data_samples: A list of the samples shows that a list ``inputs`` has one tensor per
            sample, not per view. Anything but a list is ignored.

    Raises:
        ValueError: For every other layout, and for (B, 3, 3, H, W), which is three images or one
            clip of three frames.
    """
    if isinstance(inputs, Tensor):
        views, data_samples = _unstacked(inputs), None
    else:
        views = inputs
    if not (isinstance(views, Sequence) and views
            and all(isinstance(view, Tensor) for view in views)):
        raise InputError(f'The batch is a {type(inputs).__name__} without stacked views, which '
                         "need train_dataloader.collate_fn=dict(type='default_collate').")
    shapes = list(dict.fromkeys(tuple(view.shape) for view in views))
    if len(shapes) > 1:
        raise InputError(f'The views of a batch must have one shape, but theirs are {shapes}: '
                         'crop or resize them to the same size and number of frames.')
    if len(shapes[0]) not in (4, 5) or shapes[0][1] != _CHANNELS:
        raise InputError(f'A batch must be {_LAYOUTS}, with 3 channels, but it has '
                         f'{len(views)} view(s) of shape {shapes[0]}. Unstacked samples need '
                         "train_dataloader.collate_fn=dict(type='default_collate').")
    if _one_per_sample(views, data_samples):
        raise InputError(f'The batch has {len(data_samples)} samples and {len(views)} tensors of '
                         f'shape {shapes[0]}, one per sample; views have one row per sample. '
                         "Set train_dataloader.collate_fn=dict(type='default_collate').")
    return list(views)


def _one_per_sample(views: Sequence[Tensor], data_samples: Any) -> bool:
    if not isinstance(data_samples, (list, tuple)):
        return False
    number = len(data_samples)
    if number != len(views[0]):
        return True
    # As many samples as views: PackActionInputs packs one tensor per sample, never a list.
    return number == len(views) > 1 and isinstance(data_samples[0], ActionDataSample)


def _unstacked(inputs: Tensor) -> Sequence[Tensor]:
    shape = tuple(inputs.shape)
    if shape[1:3] == (_CHANNELS, _CHANNELS) and len(shape) == 5:
        raise InputError(f'A batch of shape {shape} is three images or a clip of three frames per '
                         'sample: pass the views as a list, or use another number of frames.')
    # (B, V, C, ...); where the second axis is the channels, the tensor is a single view.
    stacked = len(shape) == 6 or (len(shape) == 5 and shape[2] == _CHANNELS)
    return inputs.unbind(1) if stacked else [inputs]
