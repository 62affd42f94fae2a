"""Whether the weights of a checkpoint are those of a model."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.utils.errors import InputError


@dataclass(frozen=True)
class CheckpointFit:
    """How the state dict of a checkpoint differs from a model's."""

    total: int  # number of the model's parameters and buffers that were compared
    missing: tuple[str, ...]  # names that the file lacks
    unknown: tuple[str, ...]  # names that the model lacks
    reshaped: tuple[str, ...]  # descriptions of those whose shapes differ

    @classmethod
    def of(cls, found: Mapping[str, Tensor], expected: Mapping[str, Tensor],
           fresh: Sequence[str] = (), unused: Sequence[str] = ()) -> CheckpointFit:
        """Compare names and shapes of the checkpoint's tensors with the model's.

        ``fresh`` and ``unused`` are first components of names that file and model may lack.
        """
        expected = {key: value for key, value in expected.items()
                    if key in found or key.split('.')[0] not in fresh}
        return cls(
            total=len(expected),
            missing=tuple(key for key in expected if key not in found),
            unknown=tuple(key for key in found
                          if key not in expected and key.split('.')[0] not in unused),
            reshaped=tuple(
                f'{key} has shape {tuple(found[key].shape)} in the file and '
                f'{tuple(value.shape)} in the model' for key, value in expected.items()
                if key in found and found[key].shape != value.shape))

    def __bool__(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.unknown or self.reshaped)

    def __str__(self) -> str:
        """How many parameters match, and an example of each kind that does not."""
        matching = self.total - len(self.missing) - len(self.reshaped)
        parts = [f'{matching} of its {self.total} parameters match', *self.reshaped[:1]]
        if self.missing:
            parts.append(f'{len(self.missing)} are missing, such as {self.missing[0]}')
        if self.unknown:
            parts.append(
                f'{len(self.unknown)} of the file are not in the model, such as {self.unknown[0]}')
        return '; '.join(parts)


def not_finite(state: Any, name: str = '') -> list[str]:
    """Names of the tensors in nested dicts and lists that contain NaN or infinity."""
    if isinstance(state, Tensor):
        return [] if _is_finite(state) else [name]
    items = state.items() if isinstance(state, Mapping) else (
        enumerate(state) if isinstance(state, (list, tuple)) else ())
    return [each for key, value in items
            for each in not_finite(value, f'{name}.{key}' if name else str(key))]


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # On a CPU, a tenth of the time of isfinite(). Older versions of torch lack it for halves.
    extremes = torch.stack(torch.aminmax(tensor if tensor.element_size() > 2 else tensor.float()))
    return bool(extremes.isfinite().all())


def not_finite_in_training_state(checkpoint: Mapping[str, Any], meant: Sequence[str]) -> list[str]:
    """Names of tensors with NaN or infinity among weights, averaged weights and optimizer's state.

    ``meant`` are the buffers that may be infinite (:func:`infinite_buffers`).
    """
    state = {key: value for key, value in checkpoint.items() if key not in ('meta', 'message_hub')}
    return [name for name in not_finite(state)
            if re.sub(r'^(ema_)?state_dict\.(module\.)?', '', name) not in meant]


def infinite_buffers(model: nn.Module) -> list[str]:
    """Names of buffers that contain infinity but no NaN, such as an attention's mask."""
    return [name for name, buffer in model.named_buffers()
            if not _is_finite(buffer) and not buffer.isnan().any()]


def check_finite_weights(weights: Mapping[str, Tensor], checkpoint: str) -> None:
    """Raise a ValueError if the file ``checkpoint`` has weights that are NaN or infinite."""
    if broken := not_finite(weights):
        raise InputError(f'{checkpoint}: {broken[0]} is not finite. The training that wrote it '
                         'diverged, or the file is damaged: take an earlier checkpoint.')


def check_fit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], checkpoint: str,
              config: str) -> None:
    """Refuse a checkpoint unless names and shapes are exactly the model's.

    Raises:
        ValueError: If they differ; names checkpoint, config, what differs and the likely family.
    """
    fit = CheckpointFit.of(found, expected)
    if not fit:
        raise InputError(
            f'{checkpoint} does not fit the model of {config}: {fit}. The file looks like '
            f'{describe_family(found)}. Use it with the config it was trained with.')
