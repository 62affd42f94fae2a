"""Upstream faults that stop a user, patched on ``import vicmae_mm``.

Each patch names the fault, where it is reported and when the patch can be removed. It waits for
the module it changes to be imported. A config gets all of them through ``custom_imports`` alone,
with the tools of mmaction2 and mmpretrain too.

Supported: Python 3.10 to 3.13, torch 2.1 to 2.15, mmengine 0.10, mmaction2 1.2.0,
mmpretrain 1.2.0, mmcv or mmcv-lite 2.0.1 to 2.1.
"""
import importlib.metadata
import warnings
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

# Importing them adds the hooks.
from . import import_patches, runner_patches, runtime_patches  # noqa: F401
from .import_hooks import hooks

_MMCV = "pip install 'mmcv-lite>=2.0.1,<2.2'"


def apply() -> None:
    """Apply every patch. Calling it again does nothing.

    Raises:
        ImportError: mmcv is missing or too new, with the command that fixes it. If mmengine is not
            imported yet, importing it raises this.
    """
    hooks.install()
    # mmcv-lite advises installing the full mmcv, for a module that nothing here uses.
    # Remove when mmcv imports it on demand.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    # tqdm's, which mmengine imports by way of transformers, in a notebook without ipywidgets.
    warnings.filterwarnings('ignore', message='IProgress not found')


@hooks.on_import('mmengine')
def _require_mmcv(mmengine: Any) -> None:
    if find_spec('mmcv') is None:
        raise ImportError(f'vicmae_mm needs mmcv or mmcv-lite, but neither is installed: {_MMCV}')
    for name in ('mmcv', 'mmcv-lite'):
        with suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            if tuple(int(n) for n in version.split('.')[:2]) >= (2, 2):
                raise ImportError(f'{name} {version} is installed, but mmaction2 1.2.0 requires '
                                  f'mmcv before 2.2: pip uninstall {name}, then {_MMCV}')
