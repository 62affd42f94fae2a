"""Files of any family as weights to start from, under the names of the model."""
from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import suppress
from typing import Any

from mmengine.logging import print_log
from mmpretrain.models import VisionTransformer
from torch import Tensor

from vicmae_mm.apis.hub_config import ACTIVATIONS, HubConfig
from vicmae_mm.apis.normalisation import differing_normalisation, usual_normalisation
from vicmae_mm.checkpoints.conversion import convert_with_report, describe_family
from vicmae_mm.checkpoints.conversion.detect import find_networks
from vicmae_mm.checkpoints.fit import CheckpointFit, not_finite
from vicmae_mm.checkpoints.weight_files import unwrap
from vicmae_mm.models.positions import check_table
from vicmae_mm.utils.errors import InputError

_BACKBONE = 'backbone.'
_DECODER_TABLE = 'neck.decoder_pos_embed'
_Tensors = dict[str, Tensor]


def first_weights(content: Any, name: str, model: Any, prefix: str | None = None) -> _Tensors:
    """Take the weights of a checkpoint under the names of a model, and log what is taken.

    A file of another family is converted. Its decoder and projector are used as a whole or, if
    they are of other shapes than the model's, not at all. ``content`` is what was read of the file
    ``name``; ``prefix``, if only the backbone will load it, what its names there begin with. A
    ValueError if it has no weights, or several networks, is of a family that can be converted, but
    incomplete, or does not suit the backbone.
    """
    weights, whole = unwrap(content, name)[0], model.state_dict()
    encoder = [key for key in whole if key.startswith(_BACKBONE)]
    expected = whole if prefix is None else {key: whole[key] for key in encoder}
    family = describe_family(weights)
    lacks = f'has nothing under {prefix!r}. The file' if prefix else (
        'contains none of the parameters. It')
    says = f'{name} {lacks} looks like {family}.'
    subject = name if prefix is None else f'{says} It'
    prefix = _BACKBONE if prefix is None else prefix
    found = {_BACKBONE + key[len(prefix):] if key.startswith(prefix) else key: value
             for key, value in weights.items()}
    # Not a copy, which would lack the versions of modules that torch has saved with it.
    given = content.get('state_dict', content)
    result = given if weights.keys() <= given.keys() else weights
    unused, is_converted = _Tensors(), False
    networks = find_networks(weights).values()
    # By most names: those of class token and position table are the same in many families.
    if encoder and 2 * len(found.keys() & expected.keys()) <= len(encoder) and any(
            network.name or network.reason for network in networks):
        converted, left_out = _convert(weights, name, model, subject)
        if converted.keys() & expected.keys():
            found, unused = converted, {key: weights[key] for key in left_out}
            unused |= _take_other_parts(found, expected, name)
            is_converted = True
            result = {re.sub(f'^{_BACKBONE}', prefix, key): value for key, value in found.items()}
    if not any(key in expected and expected[key].shape == value.shape
               for key, value in found.items()):
        raise InputError(f'{says} {CheckpointFit.of(found, expected)}. Use files with the names of '
                         'mmpretrain, or of a family that vicmae convert knows.')
    if not is_converted:
        _check_positions(found, name, model)
    loaded = {key: value for key, value in found.items() if key in expected and (
        key in encoder or value.shape == expected[key].shape)}
    unused |= {key: value for key, value in found.items() if key not in loaded}
    # PretrainedFitHook looks at the encoder.
    with suppress(RuntimeError):  # in the check before training, there are no values
        if broken := not_finite({key: loaded[key] for key in loaded.keys() - {*encoder}}):
            raise InputError(f'{name}: {broken[0]} is not finite (NaN or infinity).')
    new = {key: value for key, value in whole.items() if key not in loaded}
    print_log(f'{name} is {family}. Loaded parameters: {_count(loaded)}; new: {_count(new)}; '
              f'left out: {_count(unused)}.', 'current')
    return result


def _convert(weights: _Tensors, name: str, model: Any,
             subject: str) -> tuple[_Tensors, list[str]]:
    """The tensors under our names, and the names of those without a place."""
    backbone, layers = model.backbone, getattr(model.backbone, 'layers', None)
    frames = getattr(backbone, 'num_frames', None)
    # VideoMAE's authors make the table for the size of the network, whatever it was trained with.
    clip = {} if frames is None else dict(num_frames=frames, img_size=tuple(backbone.img_size))
    try:
        result = convert_with_report(
            weights, leave_out=True, grid=getattr(backbone, 'patch_resolution', None), **clip)
    except ValueError as error:
        raise InputError(f'{subject} cannot be converted: {error} See '
                         'vicmae convert.') from None
    if frames is None and result.state[
            f'{_BACKBONE}patch_embed.projection.weight'].ndim == 5:
        raise InputError(
            f'{name} is of a network for clips, but a {type(backbone).__name__} takes images: '
            'start a vicmae_mm.VideoViT (configs/transfer/kinetics400) from it.')
    hub = HubConfig() if '://' in name else HubConfig.next_to(name)
    if hub.heads and layers and hub.heads != layers[0].attn.num_heads:
        raise InputError(f'{name} has {hub.heads} attention heads, as its config.json says, but '
                         f'the model has {layers[0].attn.num_heads}: set backbone.arch.num_heads.')
    is_quick = any(type(module).__name__ == 'QuickGELU' for module in backbone.modules())
    if layers and hub.activation and (hub.activation == 'quick_gelu') != is_quick:
        raise InputError(f'{name} has {hub.activation}, as its config.json says: set backbone.'
                         f'layer_cfgs.act_cfg.type={ACTIVATIONS[hub.activation]!r}.')
    with suppress(RuntimeError):  # in the check before training, there are no values
        if advice := differing_normalisation(
                getattr(model, 'data_preprocessor', None),
                hub.normalisation or usual_normalisation(result.source, result.state)):
            print_log(f'{name} was {"" if hub.normalisation else "probably "}trained with another '
                      f'data_preprocessor than that of this config: set its {advice}.', 'current',
                      logging.WARNING)
    return result.state, result.left_out


def _check_positions(found: _Tensors, name: str, model: Any) -> None:
    """Refuse a table of an image encoder that may be of another grid with as many patches."""
    backbone, table = getattr(model, 'backbone', None), found.get(f'{_BACKBONE}pos_embed')
    if table is not None and isinstance(backbone, VisionTransformer) and (
            not hasattr(backbone, 'num_frames')):
        check_table(table, tuple(backbone.patch_resolution), name, backbone.num_extra_tokens, True)


def _take_other_parts(found: _Tensors, expected: _Tensors, name: str) -> _Tensors:
    """Take out, and return, the parts beside the encoder that are not exactly the model's."""
    unused: _Tensors = {}
    if _DECODER_TABLE in found.keys() & expected.keys() and (
            found[_DECODER_TABLE].shape[1] != expected[_DECODER_TABLE].shape[1]):
        found[_DECODER_TABLE] = expected[_DECODER_TABLE]  # fixed: the one of the model's size
    for part in sorted({key.partition('.')[0] for key in found} - {_BACKBONE[:-1]}):
        theirs, ours = ({key: value for key, value in state.items() if key.startswith(f'{part}.')}
                        for state in (found, expected))
        fit = CheckpointFit.of(theirs, ours)
        if not fit:
            unused |= {key: found.pop(key) for key in theirs}
            if ours:
                print_log(f'{part} of {name} is left out: {fit}.', 'current')
    return unused


def _count(state: _Tensors) -> str:
    """Numbers of parameters by part, for the log."""
    parts: Counter[str] = Counter()
    for key, value in state.items():
        parts[key.partition('.')[0]] += value.numel()
    return ', '.join(f'{part} {count:,}' for part, count in parts.items()) or 'nothing'
