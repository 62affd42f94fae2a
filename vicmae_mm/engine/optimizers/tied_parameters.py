"""Parameters that several modules share, which an optimizer must step once."""
from torch import nn

from vicmae_mm.utils.errors import InputError


def each_once(groups: list[dict], model: nn.Module, bypass_duplicate: bool) -> list[dict]:
    """Groups of one parameter each, without those of a parameter that has had its group.

    Raises:
        ValueError: There are such groups, and ``bypass_duplicate`` (as in mmengine) is False.
    """
    first: dict[int, dict] = {}
    for group in groups:
        parameter, = group['params']
        if first.setdefault(id(parameter), group) is not group and not bypass_duplicate:
            names = [name for name, each in model.named_parameters(remove_duplicate=False)
                     if each is parameter]
            raise InputError(
                f'{" and ".join(names)} are one parameter, and some parameters appear in more than '
                'one parameter group: set optim_wrapper.paramwise_cfg.bypass_duplicate=True to '
                f'step it once, with the settings of {names[0]}.')
    return list(first.values())
