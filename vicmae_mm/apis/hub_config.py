"""What the JSON files next to weights of the Hugging Face Hub say: transformers' and timm's."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicmae_mm.checkpoints.weight_folders import files_of_weights
from vicmae_mm.utils.errors import InputError

# Networks of transformers whose names are converted, and the defaults of all of them.
_KINDS = ('vit', 'vit_mae', 'vit_msn', 'videomae')
_SIZES = ('hidden_size', 'num_hidden_layers', 'patch_size')
_DEFAULTS = dict(num_attention_heads=12, layer_norm_eps=1e-12)
# What timm calls settings of transformers.
_TIMM = dict(hidden_size='embed_dim', num_hidden_layers='depth', num_attention_heads='num_heads',
             patch_size='patch_size')
# Names of transformers, and ours.
ACTIVATIONS = {'gelu': 'GELU', 'quick_gelu': 'mmpretrain.QuickGELU'}


@dataclass(frozen=True)
class HubConfig:
    """Settings that cannot be inferred from tensors; None for those that the files lack."""

    source: str = ''  # the file, for messages
    sizes: dict[str, int] = field(default_factory=dict)  # those of _SIZES, which tensors show, too
    heads: int | None = None
    is_timm: bool = False  # with the heads of mmpretrain's zoo
    activation: str | None = None  # a name in ACTIVATIONS
    norm_eps: float | None = None
    image: tuple[int, int] | None = None  # height and width in pixels
    frames: int | None = None  # per clip
    normalisation: dict[str, Any] = field(default_factory=dict)  # of Encoder; empty if unknown

    @classmethod
    def next_to(cls, checkpoint: str | Path) -> HubConfig:
        """Read ``config.json`` and ``preprocessor_config.json`` in the folder of a checkpoint.

        Raises:
            ValueError: If one is damaged, or has a value that is not supported.
        """
        source, images = hub_files(checkpoint)
        try:
            return cls._of(_read(source), _read(images), str(source))
        # What they raise depends on the content of the files.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
                ValueError) as error:
            raise InputError(f'{source} or {images.name} cannot be used: {error}.') from error

    @classmethod
    def _of(cls, network: Mapping, images: Mapping, source: str) -> HubConfig:
        if timm := network.get('pretrained_cfg'):
            args = network | network.get('model_args', {})
            # Either name: the error about unknown heads says what to add to the file.
            network = {ours: args.get(name, args.get(ours)) for ours, name in _TIMM.items()} | dict(
                image_size=args.get('img_size', timm['input_size'][-2:]),
                hidden_act='quick_gelu' if 'quickgelu' in network['architecture'] else 'gelu')
            images = dict(image_mean=timm['mean'], image_std=timm['std'])
        if not {'model_type', 'num_attention_heads', 'hidden_act'} & network.keys():
            network = {}  # not a config of transformers
        network = {**(_DEFAULTS if network.get('model_type') in _KINDS else {}), **network}
        activation = network.get('hidden_act')
        if activation not in (None, *ACTIVATIONS):
            raise ValueError(f'the activation {activation!r} is not supported')
        heads, frames = (_positive(network.get(key)) for key in (
            'num_attention_heads', 'num_frames'))
        sizes = {key: _positive(network[key]) for key in _SIZES if network.get(key) is not None}
        return cls(source, sizes, heads, is_timm=bool(timm), activation=activation,
                   norm_eps=_positive(network.get('layer_norm_eps'), float),
                   image=_size(network.get('image_size')), frames=frames,
                   normalisation=_preprocessing(images))

    def check_sizes(self, width: int, depth: int, patch: int) -> None:
        """Refuse the file if it belongs to a network of other sizes."""
        found = dict(zip(_SIZES, (width, depth, patch), strict=True))
        if not self.sizes.items() <= found.items() or width % (self.heads or width):
            said = {**self.sizes, 'num_attention_heads': self.heads}
            raise InputError(
                f'{self.source} has {said}, but the tensors next to it have {found}: it belongs to '
                'another network. Move it away, or name the config of this one.')


def hub_files(checkpoint: str | Path) -> tuple[Path, Path]:
    """Where ``config.json`` and ``preprocessor_config.json`` of a checkpoint are expected."""
    folder = files_of_weights(checkpoint)[0].parent
    return folder / 'config.json', folder / 'preprocessor_config.json'


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding='utf-8'))) if path.is_file() else {}


def _positive(value: Any, kind: Any = int) -> Any:
    # int() would make 1 of True and of 1.5.
    if value is not None and (
            isinstance(value, bool) or kind(value) != float(value) or not kind(value) > 0):
        raise ValueError(f'{value} should be positive' + (', and an integer' * (kind is int)))
    return None if value is None else kind(value)


def _preprocessing(images: Mapping) -> dict[str, Any]:
    """Of transformers' image processors, which scale by ``rescale_factor`` and then normalise."""
    if not {'image_mean', 'do_normalize'} & images.keys():
        return {}
    scale = 1 / images.get('rescale_factor', 1 / 255) if images.get('do_rescale', True) else 1.
    if not images.get('do_normalize', True):
        return dict(mean=[0.] * 3, std=[scale] * 3)
    mean, std = ([value * scale for value in images[name]] for name in ('image_mean', 'image_std'))
    if len(mean) != 3 or len(std) != 3:
        raise ValueError('mean and std should have three numbers')
    return dict(mean=mean, std=std)


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = (value, value) if isinstance(value, int) else value
    return _positive(height), _positive(width)
