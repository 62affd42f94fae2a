"""The contrastive part of a model by itself, as one of several processes runs it."""
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vicmae_mm.models import InfoNCEHead
from vicmae_mm.utils.errors import InputError

from .live_bytes import numberless
from .training_step import TrainingStep, without_hooks


class OneOfMany(InfoNCEHead):
    """InfoNCE against the embeddings of other processes, which are random and made but once.

    Args:
        processes: How many take part.
        head: Whose loss it is.

    Attributes:
        width: Channels of the embeddings it has seen.
    """

    def __init__(self, processes: int, head: InfoNCEHead) -> None:
        super().__init__(head.temperature, head.symmetric, head.negatives, head.gather)
        self._processes = processes if head.gather else 1
        self._others: Tensor | None = None
        self.width = 0

    def _candidates(self, online: Tensor, target: Tensor) -> tuple[Tensor, Tensor, int]:
        if self._others is None:
            shape = (2, len(online) * (self._processes - 1), online.shape[1])
            self._others = F.normalize(torch.randn(shape, device=online.device), dim=2)
            self.width = online.shape[1]
        first, second = self._others
        return torch.cat((online, first)), torch.cat((target, second)), 0


class ContrastPart:
    """Pooling, projector, contrast and monitors, forward and backward; a call is one step's.

    Args:
        cfg: See :class:`TrainingStep`.
        pairs: Of this process.
        processes: How many take part; the others' embeddings are random.
        device: Where.

    Raises:
        ValueError: If the config's contrast is not InfoNCE, or its encoder not ``ViCMAEViT``.
    """

    def __init__(self, cfg: Config, pairs: int, processes: int, device: torch.device) -> None:
        self._step = TrainingStep(cfg, 2, device)
        self.model: Any = self._step.bare_model
        if not isinstance(getattr(self.model, 'contrast_head', None), InfoNCEHead):
            raise InputError('the model of the config has no InfoNCEHead as contrast_head, whose '
                             'cost grows with the number of pairs')
        if not isinstance(self.model.backbone, MAEViT):
            raise InputError(f'the encoder of the config is {type(self.model.backbone).__name__}, '
                             'whose output is not known without running it: give a config of '
                             'vicmae_mm.ViCMAEViT')
        self.head = OneOfMany(processes, self.model.contrast_head)
        self.model.contrast_head = self.head
        self.set_pairs(pairs)

    def set_pairs(self, pairs: int) -> None:
        """Make what the encoder would return for so many pairs."""
        backbone = self.model.backbone
        visible = int(backbone.num_patches * (1 - backbone.mask_ratio))
        self._tokens = torch.randn(2 * pairs, 1 + visible, backbone.embed_dims,
                                  device=self._step.device, requires_grad=True)
        self._videos = torch.arange(pairs, device=self._step.device)

    def __call__(self) -> None:
        """Run forward and backward."""
        with self._step.optim_wrapper.optim_context(self._step.model):
            losses = self.model._contrast_loss(self._tokens, self._videos, 1.)
        losses['loss_contrast'].backward()
        self.model.zero_grad()
        self._tokens.grad = None


@dataclass(frozen=True)
class ContrastCount:
    """What the contrastive part needs, counted.

    Args:
        projector: Floating-point operations of the projector.
        similarities: Those of the contrast and the monitors.
        peak: Bytes at a time, the encoder's output among them.
        width: Channels of an embedding.
    """

    projector: int
    similarities: int
    peak: int
    width: int


def count_contrast(cfg: Config, pairs: int, processes: int) -> ContrastCount:
    """Count what the contrastive part would do, on tensors that hold no numbers.

    Args:
        cfg: See :class:`TrainingStep`.
        pairs: Of this process.
        processes: How many take part.

    Raises:
        ImportError: With torch before 2.4.
    """
    part = ContrastPart(without_hooks(cfg), 2, processes, torch.device('cpu'))
    with numberless(part.model) as live, FlopCounterMode(display=False) as counter:
        part.set_pairs(pairs)
        part()
    projector = sum(counter.get_flop_counts().get('Projector', {}).values())
    return ContrastCount(
        projector, counter.get_total_flops() - projector, live.peak, part.head.width)
