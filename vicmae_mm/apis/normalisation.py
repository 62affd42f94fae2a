"""The normalisation that a network was trained with, as its config says."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from vicmae_mm.models.encoder import IMAGENET_MEAN
from vicmae_mm.utils.errors import InputError

_HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)
# Families that are not normalised as for ImageNet. Some of timm's networks are (DeiT, DINO): for
# them, a config with their data_preprocessor, or their files of the Hub, say so.
NORMALISATION: dict[str, dict[str, Any]] = {
    'timm': _HALF,
    'hf-vit': _HALF,
    'mae_st': dict(mean=[0.45 * 255] * 3, std=[0.225 * 255] * 3),
}
_SWAPS = ('to_rgb', 'bgr_to_rgb', 'rgb_to_bgr')  # all three reverse the channels
_DECODERS = ('VideoDecode', 'DecordDecode', 'PyAVDecode', 'OpenCVDecode', 'RawFrameDecode',
             'ImageDecode')  # these make RGB


def normalisation_of(cfg: Config, family: dict[str, Any], name: str) -> dict[str, Any]:
    """Arguments of :class:`Encoder`: ``mean``, ``std`` and ``bgr``.

    Args:
        cfg: From :func:`read_config`.
        family: What its family has, for a config that does not say.
        name: The config, for messages.

    Raises:
        ValueError: If the config does not say it where :class:`Encoder` can do the same.
    """
    steps = list(_steps(cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}))
    preprocessor = cfg.model.get('data_preprocessor')
    if any(_is(step, 'Normalize') for step in steps):
        raise InputError(f'{name} normalises in its pipeline: name a config that has mean, std and '
                         'to_rgb in its data_preprocessor instead.')
    if preprocessor is None and not steps:
        if not family:
            raise InputError(f'{name} has no data_preprocessor: add one with the mean and std that '
                             'the network was trained with.')
        return family
    preprocessor = preprocessor or {}
    # A preprocessor without mean and std does not normalise.
    return dict(mean=preprocessor.get('mean') or [0.] * 3, std=preprocessor.get('std') or [1.] * 3,
                bgr=is_bgr(cfg, name))


def is_bgr(cfg: Config, name: str) -> bool:
    """Whether a config trains on BGR images.

    mmcv decodes images to BGR, videos are decoded to RGB, and the preprocessor may reverse the
    channels. A config without a pipeline is for RGB, unless its mean is ImageNet's in BGR.

    Raises:
        ValueError: If it trains on both.
    """
    preprocessor = cfg.model.get('data_preprocessor') or {}
    swaps = any(preprocessor.get(key) for key in _SWAPS)
    steps = list(_steps(cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}))
    if not steps:
        mean = list(preprocessor.get('mean') or [])
        return bool(preprocessor.get('rgb_to_bgr')) or mean == list(IMAGENET_MEAN[::-1])
    orders = {'bgr' for step in steps if _is(step, 'LoadImageFromFile')
              and step.get('imdecode_backend') != 'tifffile'}
    orders |= {'rgb' for step in steps if _is(step, *_DECODERS)}
    if len(orders) > 1:
        raise InputError(f'{name} trains on images that are decoded to BGR and on videos that are '
                         'decoded to RGB: the order of its channels is not known.')
    # In-memory datasets, such as CIFAR's, have RGB arrays.
    return swaps != ('bgr' in orders)


def _steps(value: Any) -> Iterator[dict]:
    """The datasets and transforms in a data loader's config."""
    if isinstance(value, dict):
        if 'type' in value:
            yield value
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for part in value:
        yield from _steps(part)


def _is(step: dict, *names: str) -> bool:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2] in names
