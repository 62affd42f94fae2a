"""Upstream faults that stop a user, patched on ``import vicmae_mm``.

Each patch names the fault, where it is reported and when the patch can be removed. It waits for
the module it changes to be imported. A config gets all of them through ``custom_imports`` alone,
with the tools of mmaction2 and mmpretrain too. docs/stack.md has the versions.
"""
import re
import warnings
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from types import ModuleType

# Importing them adds the hooks.
from . import import_patches, runner_patches, runtime_patches  # noqa: F401
from .import_hooks import hooks

# onedl-mmengine installs the folder mmengine too; onedl-mmcv, mmcv, mmcv-full and mmcv-lite install
# mmcv. The last one installed leaves its files: what is imported tells, pip's list does not.
_RANGES = dict(mmengine=((0, 10, 5), (1, )), mmcv=((2, 0, 1), (2, 2)))
_WANTED = dict(mmengine="'mmengine>=0.10.5,<1'", mmcv="'mmcv-lite>=2.0.1,<2.2'")


def apply() -> None:
    """Apply every patch. Calling it again does nothing.

    Raises:
        ImportError: mmengine is missing, with the command that fixes it. Importing mmengine raises
            this if mmcv is missing, and importing either if its version is not supported.
    """
    _require('mmengine')
    hooks.install()
    # mmcv-lite advises installing the full mmcv, for a module that nothing here uses.
    # Remove when mmcv imports it on demand.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    warnings.filterwarnings('ignore', message='IProgress not found')  # tqdm, without ipywidgets


@hooks.on_import('mmengine')
def _require_mmcv(mmengine: ModuleType) -> None:
    _require('mmcv')


def _require(name: str) -> None:
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # none: a folder that an uninstallation left behind
        raise ImportError(f'vicmae_mm needs {name}, and its files are not there: {_advice(name)}')


@hooks.on_import('mmengine', 'mmcv')
def _check_version(module: ModuleType) -> None:
    lowest, above = _RANGES[module.__name__]
    version = tuple(int(number) for number in re.findall(r'\d+', module.__version__)[:3])
    if not lowest <= version < above:
        raise ImportError(f'{module.__name__} {module.__version__} is installed, which mmaction2 '
                          f'1.2.0 or vicmae_mm does not support: {_advice(module.__name__)}')


def _advice(name: str) -> str:
    """Uninstalling one of two distributions that share a folder takes the files of both."""
    owners = packages_distributions().get(name)
    remove = f'pip uninstall {" ".join(sorted({*owners}))}, then ' if owners else ''
    return f'{remove}pip install {_WANTED[name]}'
