"""ViC-MAE (arXiv 2303.12001) as an OpenMMLab plugin.

``custom_imports = dict(imports=['vicmae_mm'])`` is all a config needs: the
import patches the upstream faults listed in :mod:`vicmae_mm.compat` and makes the
scope ``vicmae_mm`` known; components are imported when first built or named.
"""
import random
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from . import compat
from .version import __version__


@compat.hooks.on_import('mmengine.registry')
def _add_scope(module: Any) -> None:
    import_module('.registry', __name__)


compat.apply()
_state = random.getstate()
import_module('rich.style')  # draws random numbers when it is first imported, as all below do
random.setstate(_state)

__all__ = ['__version__', 'compat', 'registry']


def __getattr__(name: str) -> Any:
    """Import what is named: a folder, or a component as configs write it, ``vicmae_mm.ViCMAE``."""
    if not name.startswith('_') and find_spec(f'{__name__}.{name}'):
        return import_module(f'.{name}', __name__)
    if name == 'pretrain':
        return import_module('.apis', __name__).pretrain
    for folder in ('models', 'datasets', 'engine', 'evaluation') if name[0].isupper() else ():
        if hasattr(module := import_module(f'.{folder}', __name__), name):
            return getattr(module, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
