"""``image_size``: one setting for the size of the images of a config."""
from typing import Any

from mmengine.config import Config, ConfigDict

from vicmae_mm.utils.errors import InputError

_SIZES = 'scale', 'crop_size', 'size', 'input_size'  # of the libraries' transforms, in px


def set_image_size(cfg: Config) -> None:
    """Make backbone, decoder and pipelines work on images of ``cfg.image_size`` px, if it is set.

    Crops get this size, other sizes in the pipelines (of the short side before) their share of it.

    Raises:
        ValueError: It is no multiple of the patch size, or the backbone has no ``img_size``.
    """
    size, model = cfg.get('image_size'), cfg.get('model') or ConfigDict()
    backbone = model.get('backbone') or ConfigDict()
    if size is None or ('img_size' not in backbone and cfg.text.count('image_size') > 1):
        return  # a stock config may have a variable of this name
    old, patch = (value[-1] if isinstance(value, (list, tuple)) else value for value in (
        backbone.get('img_size', 0), backbone.get('patch_size', 1)))
    if not old:
        raise InputError(f'image_size={size} needs a config whose model.backbone has an img_size. '
                         'For others, set the sizes in the pipelines.')
    if type(size) is not int or size < patch or size % patch:
        raise InputError(f'image_size={size} must be a multiple of the {patch} pixels of a patch.')
    backbone.img_size = size
    for part in filter(None, (model.get('decoder'), model.get('neck'))):
        if part.get('num_patches') == (old // patch)**2:
            part.num_patches = (size // patch)**2
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name):
            cfg[name] = _resized(cfg[name], size / old)


def _resized(node: Any, factor: float, key: str = '') -> Any:
    if isinstance(node, dict):
        return type(node)({name: _resized(value, factor, name) for name, value in node.items()})
    if isinstance(node, (list, tuple)):
        return type(node)(_resized(value, factor, key) for value in node)
    is_size = key in _SIZES and type(node) is int and node > 1  # mmaction2 writes -1 for any
    return round(node * factor) if is_size else node
