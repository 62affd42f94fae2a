"""ViC-MAE (arXiv 2303.12001): masked image modelling within frames, contrast between them."""
from functools import partial
from typing import Any

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from . import composition
from .masking import invert_order, rand_rows, take_patches
from .monitors import global_monitors, sums_by_source
from .pooling import pool_features
from .view_layout import rows_by_source, split_views


@MODELS.register_module()
class ViCMAE(BaseSelfSupervisor):
    """The method of section 3.3 and, depending on the config, the baselines of section 3.2.

    The loss is ``w * reconstruction + lambda * s * contrast``, where s is the scale that
    ``ContrastWeightHook`` sets per epoch. Parts that do not fit together raise a ValueError.

    | method        | ``decoder``  | ``pooling``  | ``contrast_head``  |
    |---------------|--------------|--------------|--------------------|
    | ViC-MAE       | MAEDecoder   | mean         | InfoNCEHead        |
    | MAE           | MAEDecoder   | none         | none               |
    | MAE + SimSiam | MAEDecoder   | cls          | SimSiamHead        |
    | MAE + VICReg  | MAEDecoder   | cls          | VICRegHead         |
    | contrast only | none         | any          | any                |

    Args:
        backbone: The encoder f: a ``ViCMAEViT``; without a decoder, any of mmpretrain or mmaction2.
        decoder: The decoder d; None trains on contrast alone.
        head: The reconstruction head, required with a decoder.
        pooling: The pooling operator Omega; None for a backbone that returns one vector per image.
        projector: The predictor encoder P; None contrasts pooled tokens.
        target_projector: The target encoder T; None shares the weights of ``projector``.
        contrast_head: The contrastive loss; None trains on reconstruction alone.
        recon_weight: Weight w of the reconstruction, 1 in the paper.
        contrast_weight: The paper's lambda, 0.025 in Table 7.
        recon_frames: Which frame of a pair is reconstructed: ``'both'`` (the mean of the two
            losses), ``'first'`` or ``'random'``.
        decoder_chunks: Number of parts in which a batch is decoded, one after the other. More
            than 1 saves the memory of the decoder's activations, at the cost of a second decoder
            forward pass; the loss is the same.
        joint_bn: Whether both views share the batch statistics of one projector pass.
        target_generator: Computes the features (B, L, D) of each patch of normalised frames, to
            be predicted instead of pixels, such as ``mmpretrain.HOGGenerator``. It needs
            ``decoder.predict_feature_dim=D`` and ``head.type='mmpretrain.MIMHead'``.
        data_preprocessor: Normalises frames on the device.
        init_cfg: Initialisation of all layers.
    """

    backbone: Any
    neck: Any  # the decoder, or None
    head: Any

    def __init__(self, backbone: dict, decoder: dict | None = None, head: dict | None = None,
                 pooling: dict | None = None, projector: dict | None = None,
                 target_projector: dict | None = None, contrast_head: dict | None = None,
                 recon_weight: float = 1.0, contrast_weight: float = 0.025,
                 recon_frames: str = 'both', decoder_chunks: int = 1, joint_bn: bool = False,
                 target_generator: dict | None = None, data_preprocessor: dict | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(
            backbone, decoder, head, target_generator, init_cfg=init_cfg,
            data_preprocessor=data_preprocessor or dict(type='vicmae_mm.PairDataPreprocessor'))
        self.pooling = _build(pooling)
        self.projector = _build(projector) or nn.Identity()
        self.target_projector = _build(target_projector)
        self.contrast_head = _build(contrast_head)
        self.recon_weight, self.contrast_weight = recon_weight, contrast_weight
        self.contrast_scale, self.joint_bn = 1.0, joint_bn
        self.recon_frames, self.decoder_chunks = recon_frames, decoder_chunks
        composition.check_composition(self)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Encode images (B, 3, H, W) with the backbone, without masking."""
        if isinstance(self.backbone, MAEViT):
            return self.backbone(inputs, mask=None)
        return self.backbone(inputs)

    def loss(self, inputs: list[Tensor] | Tensor,
             data_samples: list | None = None) -> dict[str, Tensor]:
        """Compute the losses of a batch; a ValueError if its samples do not suit the method.

        Args:
            inputs: Views, in a layout of :func:`split_views`: the frames or clips ``[i, j]`` of a
                pair per video, ``[i_0, j_0, i_1, j_1, ...]`` for several pairs per video, or one
                frame without a contrast head. Clips need a 3-D backbone.
            data_samples: One per video. Training needs no labels.

        Returns:
            ``loss_recon`` and ``loss_contrast`` as they are summed, ``recon`` and ``contrast``
            without their weights, of this process, and the monitors ``contrast_weight`` and those
            of :func:`global_monitors`. From a ``MixedPairs`` also ``recon``, ``contrast`` and
            ``pair_accuracy`` by :func:`sums_by_source`.
        """
        views = split_views(inputs, data_samples)
        composition.check_views(self, views)
        num_videos, num_pairs = len(views[0]), max(len(views) // 2, 1)
        frames = torch.cat((*views[0::2], *views[1::2]))  # all I_i, then all I_j
        videos: Any = torch.arange(num_videos, device=frames.device).repeat(num_pairs)
        # Read in every step, so that what is missing is found before the contrast begins.
        if getattr(self.contrast_head, 'needs_identities', False):
            videos = self.contrast_head.identify(data_samples, num_videos) * num_pairs
        rows = rows_by_source(data_samples)
        weight = self.contrast_weight * self.contrast_scale
        losses: dict[str, Tensor] = {}
        features = self.backbone(frames)
        if isinstance(self.backbone, MAEViT):
            features, ids_restore = composition.masked_output(features, self.backbone)
        if self.with_neck:
            recon, each = self._reconstruction_loss(features, ids_restore, frames, bool(rows))
            losses.update(loss_recon=self.recon_weight * recon, recon=recon.detach(),
                          **sums_by_source('recon', each, rows))
        if self.contrast_head is not None:
            # Before the schedule starts, the projector is not run: AdamW would only shrink it.
            if weight > 0:
                losses.update(self._contrast_loss(features, videos, weight, rows))
            losses['contrast_weight'] = frames.new_full((), weight)  # new_tensor waits for a GPU
        if not any(name.startswith('loss') for name in losses):
            raise InputError('The contrast weight is 0 and there is no decoder, so there is '
                             "nothing to train: use ContrastWeightHook with schedule='constant'.")
        return losses

    def _reconstruction_loss(self, latent: Tensor, ids_restore: Tensor, frames: Tensor,
                             by_frame: bool = False) -> tuple[Tensor, tuple]:
        """Mean squared error on the hidden patches (eqs. 1, 6), and those of frames, by chunk."""
        rows = self._rows_to_reconstruct(len(frames), frames.device)
        targets = frames[rows]
        if self.target_generator is not None:
            with torch.no_grad():
                targets = self.target_generator(targets)
            composition.check_targets(self, targets, ids_restore[rows])
        batch = latent[rows], ids_restore[rows], targets
        chunks = [*zip(*(tensor.chunk(self.decoder_chunks) for tensor in batch), strict=True)]
        # The activations of a chunk are dropped and recomputed for its gradient.
        run: Any = self.hidden_patch_loss if len(chunks) == 1 else partial(
            checkpoint, self.hidden_patch_loss, use_reentrant=False)
        losses, each = zip(*(run(*chunk, by_frame) for chunk in chunks), strict=True)
        if len(chunks) == 1:
            return losses[0], each
        sums = [len(chunk[0]) * loss for chunk, loss in zip(chunks, losses, strict=True)]
        return torch.stack(sums).sum() / len(batch[0]), each

    def hidden_patch_loss(self, latent: Tensor, ids_restore: Tensor, targets: Tensor,
                          by_frame: bool = False) -> tuple[Tensor, Tensor | None]:
        """Mean squared error on the hidden patches of some frames.

        Of class token and visible tokens (B, 1 + keep, C), restoring indices (B, L) and targets:
        the frames (B, 3, H, W), or the features of their patches (B, L, D). With ``by_frame`` also
        those of the frames, (B,) without gradient.
        """
        prediction = self.neck(latent, ids_restore, hidden_only=True)
        hidden = invert_order(ids_restore)[:, latent.shape[1] - 1:]
        patches = (take_patches(targets, hidden, self.head.patch_size)
                   if self.target_generator is None else
                   targets.take_along_dim(hidden[:, :, None], dim=1))
        each = torch.vmap(lambda *frame: self._patch_loss(*(one[None] for one in frame)))(
            prediction.detach(), patches) if by_frame else None
        return self._patch_loss(prediction, patches), each

    def _patch_loss(self, prediction: Tensor, patches: Tensor) -> Tensor:
        if self.target_generator is not None:
            return self.head.loss(prediction, patches)
        prediction, patches = prediction.flatten(0, 1), patches.flatten(0, 1)
        # Passed to the head as images of one patch each, so that it builds only these targets.
        return self.head.loss(prediction[:, None], patches, prediction.new_ones(len(patches), 1))

    def _rows_to_reconstruct(self, num_frames: int, device: torch.device) -> slice | Tensor:
        num_pairs = num_frames // 2
        if self.recon_frames == 'first':
            return slice(0, num_pairs)
        if self.recon_frames == 'random':
            second = (rand_rows(num_pairs, device=device) < 0.5).long()
            return torch.arange(num_pairs, device=device) + num_pairs * second
        return slice(None)

    def _contrast_loss(self, features: Tensor | tuple[Tensor, ...], videos: Any, weight: float,
                       rows: dict[str, list[int]]) -> dict[str, Tensor]:
        """Contrast between the pooled and projected frames (eq. 7)."""
        pooled = pool_features(features, self.pooling, self.backbone)
        composition.check_widths(self, pooled)
        online, target = self._project(pooled)
        contrast = self.contrast_head.loss(online, target, videos)
        # Taken from the head, or its tensors would be kept until the next step.
        gathered, by_pair = (
            vars(self.contrast_head).pop(name, None) for name in ('gathered', 'pair_losses'))
        return dict(loss_contrast=weight * contrast, contrast=contrast.detach(),
                    **sums_by_source('contrast', by_pair, rows),
                    **global_monitors(online, target, gathered, rows))

    def _project(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings p_i and z_j, (N, D) each, before the l2 normalisation of section 3.3."""
        if self.joint_bn:
            online, target = self.projector(pooled).chunk(2)
            return online, target
        first, second = pooled.chunk(2)
        return self.projector(first), (self.target_projector or self.projector)(second)


def _build(cfg: dict | None) -> Any:
    return None if cfg is None else MODELS.build(cfg)
