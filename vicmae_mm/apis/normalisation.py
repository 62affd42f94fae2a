"""The normalisation that a network was trained with, as its config says."""
from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch
from mmengine.config import Config

from vicmae_mm.models.encoder import IMAGENET_MEAN, IMAGENET_STD
from vicmae_mm.utils.errors import InputError

_HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)
_CLIP = dict(mean=[122.7709383, 116.7460125, 104.09373615],
             std=[68.5005327, 66.6321579, 70.32316305])
# Families that are not normalised as for ImageNet. Some of timm's networks (DeiT, DINO) are: they
# need a config with a data_preprocessor, or the JSON files of the Hub.
_NORMALISATION: dict[str, dict[str, Any]] = {
    'timm': _HALF,
    'hf-vit': _HALF,
    'mae_st': dict(mean=[0.45 * 255] * 3, std=[0.225 * 255] * 3),
}
_DECODERS = {'VideoDecode', 'DecordDecode', 'PyAVDecode', 'OpenCVDecode', 'RawFrameDecode',
             'ImageDecode'}  # their frames are RGB


def usual_normalisation(family: str, weights: Collection[str]) -> dict[str, Any]:
    """Arguments of :class:`Encoder` for weights, under our names, that do not say theirs."""
    if 'backbone.pre_norm.weight' in weights:
        return _CLIP
    scaled = 'backbone.layers.0.attn.gamma1.weight' in weights  # DINOv2, DeiT III
    return {} if scaled else _NORMALISATION.get(family, {})


def differing_normalisation(preprocessor: Any, source: dict[str, Any]) -> str:
    """What to set in a config to normalise as a source, arguments of :class:`Encoder`; '' if so."""
    ours: Any = [getattr(preprocessor, name, None) for name in ('mean', 'std')]
    theirs = torch.tensor([source.get('mean', IMAGENET_MEAN), source.get('std', IMAGENET_STD)])
    if ours[0] is None or torch.allclose(
            torch.stack(ours).flatten(1).cpu(), theirs, rtol=0, atol=0.5):
        return ''  # without a mean, it is the pipeline that normalises
    mean, std = ([round(value, 3) for value in values] for values in theirs.tolist())
    return f'mean={mean} and std={std}'


def normalisation_of(cfg: Config, family: dict[str, Any], name: str) -> dict[str, Any]:
    """Arguments of :class:`Encoder`: ``mean``, ``std`` and ``bgr``.

    Args:
        cfg: From :func:`read_config`.
        family: The family's usual normalisation, for a config without one.
        name: The config, for messages.

    Raises:
        ValueError: If the config has none, or one that the encoder cannot reproduce.
    """
    preprocessor, steps = cfg.model.get('data_preprocessor'), list(_steps(_loader(cfg)))
    if 'Normalize' in steps or (preprocessor is None and not steps and not family):
        raise InputError(f'{name} does not normalise by a data_preprocessor: name a config with '
                         'one, with the mean, std and to_rgb that the network was trained with.')
    if preprocessor is None and not steps:
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
    preprocessor, steps = cfg.model.get('data_preprocessor') or {}, set(_steps(_loader(cfg)))
    if not steps:
        return bool(preprocessor.get('rgb_to_bgr')) or (
            list(preprocessor.get('mean') or []) == list(IMAGENET_MEAN[::-1]))
    decoded_to_bgr = 'LoadImageFromFile' in steps
    if decoded_to_bgr and steps & _DECODERS:
        raise InputError(f'{name} trains on images that are decoded to BGR and on videos that are '
                         'decoded to RGB: the order of its channels is not known.')
    # Whatever their names, all three reverse the channels. Arrays, such as CIFAR's, are RGB.
    swaps = any(preprocessor.get(key) for key in ('to_rgb', 'bgr_to_rgb', 'rgb_to_bgr'))
    return swaps != decoded_to_bgr


def _loader(cfg: Config) -> Any:
    return cfg.get('train_dataloader') or cfg.get('test_dataloader')


def _steps(value: Any) -> Iterator[str]:
    """Names of the datasets and transforms in a data loader's config."""
    if isinstance(value, dict):
        kind = value.get('type')
        if kind is not None:
            yield (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]
        value = list(value.values())
    for part in value if isinstance(value, (list, tuple)) else ():
        yield from _steps(part)
