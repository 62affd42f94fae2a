"""Whether the weights of a checkpoint are those of a model."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.utils.errors import InputError


@dataclass(frozen=True)
class CheckpointFit:
    """What of a state dict is in a model, and what is not.

    Args:
        total: Parameters and buffers of the model that were looked for.
        missing: Those the file lacks.
        unknown: Those of the file that the model lacks.
        reshaped: Those of both whose shapes differ, in words.
    """

    total: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]

    @classmethod
    def of(cls,
           found: Mapping[str, Tensor],
           wanted: Mapping[str, Tensor],
           fresh: Sequence[str] = (),
           unused: Sequence[str] = ()) -> CheckpointFit:
        """Compare names and shapes.

        Args:
            found: State dict of the checkpoint.
            wanted: State dict of the model.
            fresh: First parts of names that the file may lack.
            unused: First parts of names that the model may lack.
        """
        wanted = {key: value for key, value in wanted.items()
                  if key in found or key.split('.')[0] not in fresh}
        return cls(
            total=len(wanted),
            missing=tuple(key for key in wanted if key not in found),
            unknown=tuple(key for key in found
                          if key not in wanted and key.split('.')[0] not in unused),
            reshaped=tuple(
                f'{key} has shape {tuple(found[key].shape)} in the file and '
                f'{tuple(value.shape)} in the model' for key, value in wanted.items()
                if key in found and found[key].shape != value.shape))

    def __bool__(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.unknown or self.reshaped)

    def __str__(self) -> str:
        """How many parameters match, and an example of each that does not."""
        matching = self.total - len(self.missing) - len(self.reshaped)
        parts = [f'{matching} of its {self.total} parameters match', *self.reshaped[:1]]
        if self.missing:
            parts.append(f'{len(self.missing)} are missing, such as {self.missing[0]}')
        if self.unknown:
            parts.append(
                f'{len(self.unknown)} of the file are not in the model, such as {self.unknown[0]}')
        return '; '.join(parts)


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that hold NaN or infinity: training that diverged, or a damaged file."""
    return [key for key, value in state.items() if not value.isfinite().all()]


def check_fit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], checkpoint: str,
              config: str) -> None:
    """Refuse a checkpoint unless names and shapes are exactly the model's.

    Args:
        found: State dict of the checkpoint.
        wanted: State dict of the model.
        checkpoint: Name of the file, for the message.
        config: Name of the model's config, for the message.

    Raises:
        ValueError: If they differ, with what differs and what the file looks like.
    """
    fit = CheckpointFit.of(found, wanted)
    if not fit:
        raise InputError(
            f'{checkpoint} does not fit the model of {config}: {fit}. The file looks like '
            f'{describe_family(found)}. Use it with the config it was trained with.')
