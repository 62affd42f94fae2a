"""Check that the parts of a ``ViCMAE`` form a method and fit together, and that views fit them."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from mmengine.dist import get_world_size
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor

from vicmae_mm.models.necks import MAEDecoder
from vicmae_mm.utils.errors import InputError

from .modes import evaluating
from .pooling import pool_features

if TYPE_CHECKING:
    from .vicmae import ViCMAE

RECON_FRAMES = ('both', 'first', 'random')


def check_composition(model: ViCMAE) -> None:
    """Raise a ValueError for a config that would fail later or train something unintended."""
    if model.recon_frames not in RECON_FRAMES:
        raise InputError(
            f'recon_frames={model.recon_frames!r} is unknown: choose one of {RECON_FRAMES}.')
    for name in ('recon_weight', 'contrast_weight'):
        if not getattr(model, name) >= 0:  # NaN is refused, too
            raise InputError(f'{name}={getattr(model, name)} must be 0 or more.')
    if model.decoder_chunks < 1:
        raise InputError(f'decoder_chunks={model.decoder_chunks} must be 1 (decode the batch at '
                         'once) or more.')
    if model.with_neck != model.with_head:
        raise InputError('decoder and head go together: set both, or neither to train on '
                         'contrast alone.')
    features = model.target_generator is not None
    if features and not model.with_neck:
        raise InputError('A target_generator needs a decoder and a head: set both.')
    if model.with_neck and hasattr(model.head, 'patch_size') == features:
        raise InputError('head.type should be mmpretrain.MIMHead with a target_generator, and '
                         'without one mmpretrain.MAEPretrainHead, which compares with pixels.')
    if not model.with_neck and model.contrast_head is None:
        raise InputError('Nothing to train: set a decoder and a head (reconstruction), a '
                         'contrast_head, or both.')
    if model.joint_bn and model.target_projector is not None:
        raise InputError('joint_bn passes both views through one projector: it cannot be '
                         'combined with a target_projector.')
    if model.contrast_head is not None:
        _check_preprocessor(model)
    if isinstance(model.backbone, MAEViT):
        _check_masked_encoder(model)
    elif model.with_neck:
        raise InputError(
            f'A decoder needs a masked encoder such as vicmae_mm.ViCMAEViT, but the backbone '
            f'is {type(model.backbone).__name__}: remove decoder and head to train it on '
            'contrast alone.')


def check_views(model: ViCMAE, views: list[Tensor]) -> None:
    """Raise a ValueError for views, as ``split_views`` returns them, that the method cannot use."""
    clips = views[0].ndim == 5
    if clips and isinstance(model.backbone, MAEViT):
        raise InputError(f'The masked encoder takes images, but the samples are clips of shape '
                         f'{tuple(views[0].shape[1:])}: pack single frames, or use a 3-D backbone '
                         'without a decoder.')
    shape = getattr(model.data_preprocessor, 'format_shape', None)  # mmaction2's
    if shape in ('NCHW', 'NCTHW') and clips == (shape == 'NCHW'):
        kind, right = ('clips', 'NCTHW') if clips else ('images', 'NCHW')
        raise InputError(f'data_preprocessor.format_shape={shape!r} normalises another axis than '
                         f'the channels of {kind}: set it to {right!r}.')
    if len(views) > 1:
        _check_preprocessor(model)
    if model.contrast_head is not None and len(views) % 2:
        raise InputError(
            f'Contrast needs frame pairs but got {len(views)} frame(s) per sample: use '
            'SampleFramePair with num_frames=2, or SampleFrames with an even num_clips.')
    if model.contrast_head is not None and len(views[0]) * get_world_size() < 2:
        raise InputError('A single pair has no negatives: set train_dataloader.batch_size to '
                         '2 or more, and drop_last=True.')
    if len(views) == 1 and model.recon_frames != 'both':
        raise InputError(f'recon_frames={model.recon_frames!r} selects from a pair, but samples '
                         "are single frames: set it to 'both'.")


def check_widths(model: ViCMAE, pooled: Tensor) -> None:
    """Raise a ValueError if a projector's ``in_channels`` differ from those of ``pooled``."""
    width = pooled.shape[1]
    for projector in (model.projector, model.target_projector):
        takes = getattr(projector, 'in_channels', width)
        if takes != width:
            raise InputError(f'The projector takes {takes} channels but the backbone has {width}: '
                             f'set in_channels of the projector to {width}.')


def masked_output(outputs: tuple[Tensor, ...], backbone: MAEViT) -> tuple[Tensor, Tensor]:
    """Tokens and restoring indices; a ValueError if a subclass of MAEViT returns anything else."""
    if len(outputs) != 3 or not isinstance(outputs[0], Tensor):
        raise InputError(f'{type(backbone).__name__} does not return tokens, mask and restoring '
                         'indices, as mmpretrain.MAEViT does: choose vicmae_mm.ViCMAEViT.')
    return outputs[0], outputs[2]


def check_targets(model: ViCMAE, targets: Tensor, ids_restore: Tensor) -> None:
    """Raise a ValueError unless the target generator gave the features of each patch."""
    expected = (*ids_restore.shape, model.neck.decoder_pred.out_features)
    if not isinstance(targets, Tensor) or targets.shape != expected:
        shape = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise InputError(f'{type(model.target_generator).__name__} returns {shape}, but a feature '
                         f'vector per patch is needed, {expected}: set decoder.predict_feature_dim '
                         'to its last size, and choose a generator for these images and patches.')


def _check_preprocessor(model: ViCMAE) -> None:
    """Raise a ValueError if the views of a pair are where the preprocessor expects channels."""
    kind = type(model.data_preprocessor)
    if issubclass(kind, ClsDataPreprocessor) or kind is ImgDataPreprocessor:  # not its subclasses
        raise InputError(f'{kind.__name__} takes single images, and would look for the channels '
                         'of pairs on the wrong axis: set data_preprocessor.type='
                         "'vicmae_mm.PairDataPreprocessor'.")


def _check_masked_encoder(model: ViCMAE) -> None:
    if model.with_neck:
        _check_geometry(model)
        if model.backbone.mask_ratio == 0:
            raise InputError('backbone.mask_ratio=0 hides nothing, so there is nothing to '
                             'reconstruct: raise it, or remove decoder and head.')
    if model.contrast_head is None:
        return
    if model.pooling is None:
        raise InputError('A contrast_head needs a pooling that reduces the tokens to one vector: '
                         "set pooling=dict(type='vicmae_mm.TokenPooling').")
    _check_projectors(model)


@torch.no_grad()
def _check_projectors(model: ViCMAE) -> None:
    """Pool and project two images as training does, in evaluation mode, which changes nothing."""
    tokens = next(model.backbone.parameters()).new_zeros(
        2, 1 + model.backbone.num_extra_tokens, model.backbone.embed_dims)
    with evaluating(model):
        pooled = pool_features(tokens, model.pooling, model.backbone)
        check_widths(model, pooled)
        for projector in filter(None, (model.projector, model.target_projector)):
            try:
                projector(pooled)
            except (RuntimeError, AssertionError, TypeError) as error:
                raise InputError(f'The projector {type(projector).__name__} cannot take vectors '
                                 f'(N, {pooled.shape[1]}): {error}') from error


def _check_geometry(model: ViCMAE) -> None:
    """Compare the sizes that a config repeats in backbone, decoder and head."""
    backbone, decoder, head = model.backbone, model.neck, model.head
    # ViCMAE passes hidden_only=True, which only our decoder takes.
    if not isinstance(decoder, MAEDecoder):
        raise InputError(f'decoder.type is {type(decoder).__name__}, which predicts visible '
                         'patches too: set it to vicmae_mm.MAEDecoder (same weights and names).')
    patch, (height, width) = backbone.patch_embed.projection.kernel_size[0], backbone.img_size
    for setting, is_now, should_be in (
        ('decoder.num_patches', *(math.prod(grid) if len({*grid}) == 1 else tuple(grid)
                                  for grid in (decoder.grid, backbone.patch_resolution))),
        ('decoder.embed_dim', decoder.decoder_embed.in_features, backbone.embed_dims),
        # of features, check_targets compares the shape
        *([] if model.target_generator is not None else [
            ('decoder.patch_size', round((decoder.decoder_pred.out_features / 3)**0.5), patch),
            ('head.patch_size', head.patch_size, patch)]),
    ):
        if is_now != should_be:
            raise InputError(f'model.{setting}={is_now} does not fit the backbone '
                             f'({height} x {width} px, patches of {patch} px, '
                             f'{backbone.embed_dims} wide): set it to {should_be}.')
