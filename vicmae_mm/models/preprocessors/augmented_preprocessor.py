"""Augmentation on the device, of whole batches, for a CPU that has enough to do with decoding."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from vicmae_mm.datasets.transforms.per_frame import check_positions
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import seeded

from .pair_preprocessor import PairDataPreprocessor


@MODELS.register_module()
class AugmentedPairPreprocessor(PairDataPreprocessor):
    """:class:`PairDataPreprocessor` that augments in training, between transfer and normalisation.

    The augmentations are kornia's, each with its own randomness for every sample; only the order
    of the four changes of a ``ColorJitter`` is one for all of a batch. They are a function of the
    step (``vicmae_mm.StepSeedHook``), the process's rank and the place in its batch: the same in a
    resumed run, another for another number of processes.

    Args:
        transforms (Sequence[dict]): Classes of ``kornia.augmentation`` by name, with their
            arguments, such as ``dict(type='RandomGrayscale', p=0.2)``. They are given frames
            (B, 3, H, W) in [0, 1] and must keep the shape.
        frames (Sequence[int], optional): Positions within the pair to augment, as in
            ``vicmae_mm.PerFrame``: ``[1]`` the second of every pair. Defaults to None, all.
        kwargs: As for :class:`PairDataPreprocessor`.

    Raises:
        ImportError: kornia is not installed.
        ValueError: It has no augmentation of that name, or ``frames`` holds anything but 0 and 1.
    """

    def __init__(self, transforms: Sequence[dict], frames: Sequence[int] | None = None,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = check_positions(frames, type(self).__name__)
        # In a list, unseen by nn.Module: with .to('cuda') kornia would draw from the GPU's
        # generator, which is the same on every rank.
        self._transforms = [_build(transforms)]

    def augment(self, views: list[Tensor], training: bool) -> list[Tensor]:
        """Augment the chosen views in training."""
        if not training:
            return views
        step = int(torch.randint(2**62, ()))  # from the process's generator, seeded by step
        with seeded((step, ), get_rank()), torch.autocast(self.device.type, enabled=False):
            return [self._augmented(view) if position % 2 in self.frames else view
                    for position, view in enumerate(views)]

    @torch.no_grad()
    def _augmented(self, view: Tensor) -> Tensor:
        transforms, = self._transforms
        return transforms(view.float().div(255)).mul_(255)


def _build(settings: Sequence[dict]) -> nn.Module:
    try:
        from kornia import augmentation
    except ImportError as error:
        raise ImportError("AugmentedPairPreprocessor needs kornia, which is not installed: "
                          "pip install 'kornia>=0.8'") from error
    built = []
    for setting in settings:
        name = setting.get('type')
        kind = getattr(augmentation, str(name), None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise InputError(f'AugmentedPairPreprocessor: kornia.augmentation has no {name!r}.')
        built.append(MODELS.build(dict(setting, type=kind)))
        built[-1].disable_features = True  # the result is kept for .show() otherwise
    return nn.Sequential(*built)
