"""Whether the weights of a checkpoint are those of a model."""
from collections.abc import Mapping

from torch import Tensor

from .checkpoint_family import describe_family


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
    missing = [key for key in wanted if key not in found]
    unknown = [key for key in found if key not in wanted]
    reshaped = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    if not (missing or unknown or reshaped):
        return
    fitting = len(wanted) - len(missing) - len(reshaped)
    details = []
    if reshaped:
        key = reshaped[0]
        details.append(f'{key} has shape {tuple(found[key].shape)} in the file and '
                       f'{tuple(wanted[key].shape)} in the model')
    if missing:
        details.append(f'{len(missing)} are missing, such as {missing[0]}')
    if unknown:
        details.append(f'{len(unknown)} of the file are not in the model, such as {unknown[0]}')
    raise ValueError(
        f'{checkpoint} does not fit the model of {config}: {fitting} of its {len(wanted)} '
        f'parameters match; {"; ".join(details)}. The file looks like '
        f'{describe_family(found)}. Use it with the config it was trained with (--config).')
