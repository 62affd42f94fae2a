"""What the JSON files next to weights of the Hugging Face Hub say: transformers' and timm's."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicmae_mm.checkpoints.weight_folders import files_with_weights
from vicmae_mm.utils.errors import InputError

HUB_FILES = ('config.json', 'preprocessor_config.json')
# Kinds of networks of transformers whose names are converted, and the defaults of all of them.
_KINDS = ('vit', 'vit_mae', 'vit_msn', 'videomae')
_DEFAULTS = dict(num_attention_heads=12, layer_norm_eps=1e-12, hidden_act='gelu')
_ACTIVATIONS: dict[str, dict[str, str]] = {
    'gelu': dict(type='GELU'),
    'gelu_new': dict(type='GELU', approximate='tanh'),
    'gelu_pytorch_tanh': dict(type='GELU', approximate='tanh'),
    'relu': dict(type='ReLU'),
}


@dataclass(frozen=True)
class HubConfig:
    """Settings that tensors do not show; None for what the files do not say.

    Args:
        source: The file, for messages.
        width: Of the tokens, to be compared with the tensors.
        heads: Attention heads.
        is_timm: Whether it is a network of timm, which has the heads of mmpretrain's zoo.
        norm_eps: Of the layer norms.
        activation: Config of the activation.
        image: Height and width of the images in pixels.
        frames: Frames per clip.
        normalisation: Arguments of :class:`Encoder`; empty if unknown.
    """

    source: str = ''
    width: int | None = None
    heads: int | None = None
    is_timm: bool = False
    norm_eps: float | None = None
    activation: dict[str, str] | None = None
    image: tuple[int, int] | None = None
    frames: int | None = None
    normalisation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def next_to(cls, checkpoint: str | Path) -> HubConfig:
        """Read ``config.json`` and ``preprocessor_config.json`` in the folder of a checkpoint.

        Raises:
            ValueError: If one is damaged, or has a value that is not supported.
        """
        network, images = map(_read, hub_files(checkpoint))
        source = str(hub_files(checkpoint)[0])
        try:
            return cls._of(network, images, source)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            reason = error if isinstance(error, InputError) else f'a value in it is wrong ({error})'
            raise InputError(f'{source}: {reason}. Correct it, or move it away.') from None

    @classmethod
    def _of(cls, network: Mapping, images: Mapping, source: str) -> HubConfig:
        timm = network.get('pretrained_cfg')
        if timm is not None:
            if 'quickgelu' in str(network.get('architecture')):
                raise InputError('its activation, QuickGELU, is not supported')
            return cls(source, is_timm=True, image=_size(timm.get('input_size', ())[-2:]),
                       normalisation=_scaled(timm, 'mean', 'std', 255))
        if network.get('model_type') in _KINDS:
            network = {**_DEFAULTS, **network}
        elif not {'model_type', 'num_attention_heads'} & network.keys():
            network = {}  # the config of something else
        activation = network.get('hidden_act')
        if activation is not None and activation not in _ACTIVATIONS:
            raise InputError(f'its activation, hidden_act={activation!r}, is not supported')
        eps = network.get('layer_norm_eps')
        return cls(
            source, width=network.get('hidden_size'), heads=network.get('num_attention_heads'),
            norm_eps=None if eps is None else float(eps),
            activation=None if activation is None else _ACTIVATIONS[activation],
            image=_size(network.get('image_size')), frames=network.get('num_frames'),
            normalisation=_preprocessing(images))

    def check_width(self, width: int) -> None:
        """Refuse the file if it belongs to a network of another width."""
        fits = self.width in (None, width) and (
            self.heads is None or (isinstance(self.heads, int) and self.heads > 0
                                   and width % self.heads == 0))
        if not fits:
            raise InputError(
                f'{self.source} has hidden_size={self.width} and num_attention_heads={self.heads}, '
                f'but the tensors next to it are {width} wide: it belongs to another network. Move '
                'it away, or name the config of this one.')


def hub_files(checkpoint: str | Path) -> list[Path]:
    """Where the JSON files of a checkpoint are expected."""
    folder = Path(files_with_weights(checkpoint)[0]).parent
    return [folder / name for name in HUB_FILES]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'{path} cannot be read: {error}.') from error
    if not isinstance(content, dict):
        raise InputError(f'{path} should be a JSON object, not a {type(content).__name__}.')
    return content


def _preprocessing(images: Mapping) -> dict[str, Any]:
    """Of transformers' image processors, which scale by ``rescale_factor`` and then normalise."""
    if 'image_mean' not in images and 'do_normalize' not in images:
        return {}
    scale = 1 / images.get('rescale_factor', 1 / 255) if images.get('do_rescale', True) else 1
    if images.get('do_normalize', True):
        found = _scaled(images, 'image_mean', 'image_std', scale)
    else:
        found = dict(mean=[0.] * 3, std=[float(scale)] * 3)
    return dict(found, bgr=bool(images.get('do_flip_channel_order', False)))


def _scaled(values: Mapping, mean: str, std: str, scale: float) -> dict[str, Any]:
    found = dict(mean=[float(value) * scale for value in values[mean]],
                 std=[float(value) * scale for value in values[std]])
    if not all(len(each) == 3 and all(map(math.isfinite, each)) for each in found.values()):
        raise InputError(f'{mean} and {std} should be three numbers each')
    return found


def _size(value: Any) -> tuple[int, int] | None:
    if value is None or value == ():
        return None
    height, width = value if isinstance(value, Sequence) else (value, value)
    return int(height), int(width)
