"""``image_size``: one setting for the size of the images of a config."""
import re
from typing import Any

from mmengine.config import Config, ConfigDict

from vicmae_mm.models.positions import check_patch_grid
from vicmae_mm.utils.errors import InputError

_SIZES = 'scale', 'crop_size', 'size', 'input_size'  # of the libraries' transforms, in px


def set_image_size(cfg: Config) -> None:
    """Make backbone, decoder and pipelines work on images of ``cfg.image_size`` px, if it is set.

    Crops get this size, other sizes in the pipelines (of the short side before) their share of it.
    Rectangles are (height, width) or ``'HxW'``, for pipelines like those of pre-training, whose
    only size is the ``scale`` of ``RandomCropFlip`` or mmpretrain's ``RandomResizedCrop``.

    Raises:
        ValueError: It is no multiple of the patch size, the backbone has no ``img_size``, or the
            pipelines have other sizes than that of a rectangle.
    """
    given, model = cfg.get('image_size'), cfg.get('model') or ConfigDict()
    backbone = model.get('backbone') or ConfigDict()
    if given is None or ('img_size' not in backbone and cfg.text.count('image_size') > 1):
        return  # a stock config may have a variable of this name
    before, patch = backbone.get('img_size', 0), backbone.get('patch_size', 1)
    if not before:
        raise InputError(f'image_size={given} needs a config whose model.backbone has an img_size. '
                         'For others, set the sizes in the pipelines.')
    patch = patch[-1] if isinstance(patch, (list, tuple)) else patch
    is_text = isinstance(given, str) and re.fullmatch(r'\d+x\d+', given)
    try:
        grid = check_patch_grid([*map(int, given.split('x'))] if is_text else given, patch)
    except InputError:
        raise InputError(f'image_size={given} must be a multiple of the {patch} pixels of a patch, '
                         'or height and width that are, as in 128x256.') from None
    old, new = check_patch_grid(before, 1), (grid[0] * patch, grid[1] * patch)
    is_square = len({*new}) == 1
    size = backbone.img_size = new[0] if is_square else new
    for part in (model.get('decoder'), model.get('neck')):
        if isinstance(part, dict) and part.get('num_patches') in (
                old[0] * old[1] // patch**2, tuple(side // patch for side in old)):
            part['num_patches'] = grid[0]**2 if is_square else grid
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name) and old != new:
            factor = new[0] / old[0] if is_square and len({*old}) == 1 else 0
            cfg[name] = _resized(cfg[name], factor, size)


def _resized(node: Any, factor: float, size: Any, key: str = '', kind: str = '') -> Any:
    """Multiply sizes by ``factor``; if it is 0, for rectangles, set those of random crops.

    Other transforms measure a square, or the width first.
    """
    if isinstance(node, dict):
        kind = str(node.get('type'))
        return type(node)({name: _resized(value, factor, size, name, kind)
                           for name, value in node.items()})
    numbers = node if isinstance(node, (list, tuple)) else [node]
    is_size = key in _SIZES and all(type(number) is int for number in numbers)
    if is_size and not factor:
        if key == 'scale' and kind.rpartition('.')[2] in ('RandomCropFlip', 'RandomResizedCrop'):
            return size
        raise InputError(f'image_size={size} is a rectangle (or replaces one), but {kind} has '
                         f'{key}={node}: set the sizes in the pipelines and in model.backbone.')
    if numbers is node:
        return type(node)(_resized(value, factor, size, key, kind) for value in node)
    return round(node * factor) if is_size and node > 1 else node  # mmaction2 writes -1 for any
