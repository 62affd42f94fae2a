"""Augmentation of batches on the device, which frees the CPU for decoding."""
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

    The augmentations are kornia's, drawn per sample, except for the order of the four operations
    of a ``ColorJitter``, which is drawn per batch. They depend on the step
    (``vicmae_mm.StepSeedHook``), the process's rank and the position in its batch: a resumed run
    repeats them, a different number of processes changes them. Without kornia, an ImportError; for
    an augmentation that it lacks, a ValueError.

    Args:
        transforms: Classes of ``kornia.augmentation`` by name, with their arguments, such as
            ``dict(type='RandomGrayscale', p=0.2)``. They keep the shape of frames in [0, 1].
        frames: Positions within the pair to augment, as in ``vicmae_mm.PerFrame``: ``[1]`` is
            the second frame of every pair. None: all. Others than 0 and 1 raise a ValueError.
        **kwargs: Passed to :class:`PairDataPreprocessor`.
    """

    def __init__(self, transforms: Sequence[dict], frames: Sequence[int] | None = None,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = check_positions(frames, type(self).__name__)
        # In a list, so that nn.Module does not register it: after .to('cuda') kornia would draw
        # from the GPU's generator, which is the same on every rank.
        self._transforms = [_build(transforms)]

    def augment(self, views: list[Tensor], training: bool) -> list[Tensor]:
        """Augment the views at the positions ``frames``, in training only; refuse clips."""
        if not training:
            return views
        if views[0].ndim == 5:
            raise InputError('AugmentedPairPreprocessor augments frames, not clips: use '
                             'PairDataPreprocessor, and augment clips in the pipeline.')
        # Drawn from the process's generator, which StepSeedHook seeds in every step.
        step, (transforms, ) = int(torch.randint(2**62, ())), self._transforms
        with (seeded((step, ), get_rank()), torch.no_grad(),
              torch.autocast(self.device.type, enabled=False)):
            return [transforms(view.float().div(255)).mul_(255) if position % 2 in self.frames
                    else view for position, view in enumerate(views)]


def _build(settings: Sequence[dict]) -> nn.Module:
    try:
        from kornia import augmentation
    except ImportError as error:
        raise ImportError("AugmentedPairPreprocessor needs kornia, which is not installed: "
                          "pip install 'kornia>=0.8'") from error
    built = []
    for setting in settings:
        name = setting.get('type')
        cls = getattr(augmentation, str(name), None)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise InputError(f'AugmentedPairPreprocessor: kornia.augmentation has no {name!r}.')
        built.append(MODELS.build(dict(setting, type=cls)))
        # Otherwise kornia keeps the last batch in memory, for its show().
        built[-1].disable_features = True
    return nn.Sequential(*built)
