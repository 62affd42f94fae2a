"""Parameters that several modules share, which an optimizer must step once."""
import logging

from mmengine.logging import print_log
from torch import nn

from vicmae_mm.utils.errors import InputError


def each_once(groups: list[dict], model: nn.Module, bypass_duplicate: bool) -> list[dict]:
    """Parameter groups in which no parameter occurs twice.

    Args:
        groups: One group per parameter and module, in the order of the modules.
        model: For the names of the parameters.
        bypass_duplicate: Whether a shared parameter gets the settings of its first name, as in
            mmengine.

    Raises:
        ValueError: A parameter is shared, and ``bypass_duplicate`` is False.
    """
    kept: dict[int, dict] = {}
    for group in groups:
        parameter, = group['params']
        if kept.setdefault(id(parameter), group) is group:
            continue
        names = [name for name, each in model.named_parameters(remove_duplicate=False)
                 if each is parameter]
        if not bypass_duplicate:
            raise InputError(
                f'{" and ".join(names)} are one parameter, and some parameters appear in more than '
                'one parameter group: set optim_wrapper.paramwise_cfg.bypass_duplicate=True to '
                f'step it once, with the settings of {names[0]}.')
        print_log(f'{" and ".join(names)} are one parameter: it is stepped once, with the settings '
                  f'of {names[0]}.', 'current', logging.WARNING)
    return list(kept.values())
