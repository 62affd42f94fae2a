"""Patches of faults met when the libraries are imported and configs are read."""
import errno
import functools
import importlib.metadata
import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from vicmae_mm.utils.carried_files import carried_folder

from .import_hooks import hooks, rebind


class _DRN:
    """Stand-in for mmaction2's DRN, which its wheel lacks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError("mmaction2's wheel lacks mmaction/models/localizers/drn: install "
                          'mmaction2 from source to use DRN.')


@hooks.on_import('mmaction')
def _mmaction_drn(mmaction: Any) -> None:
    """After `pip install mmaction2`, its models cannot be imported: the wheel lacks a folder.

    open-mmlab/mmaction2#2714, #2845. Remove with mmaction2 > 1.2.0; a real folder takes precedence.
    """
    folder = os.path.join(mmaction.__path__[0], 'models', 'localizers')
    if PathFinder.find_spec('drn', [folder]) is None:
        name = 'mmaction.models.localizers.drn.drn'
        vars(sys.modules.setdefault(name, ModuleType(name)))['DRN'] = _DRN


@hooks.on_import('mmaction.utils.dependency', 'mmpretrain.utils.dependency')
def _multimodal_models(dependency: Any) -> None:
    """With transformers 4.56 or later, none of mmaction2's models can be imported.

    "cannot import name 'apply_chunking_to_forward'": its language models import a function that
    was removed. They are left out, as if transformers were not installed. Reported by other users
    of the function (modelscope/evalscope#864). Remove with mmaction2 > 1.2.0.
    """
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version('transformers')
        if tuple(int(n) for n in version.split('.')[:2]) >= (4, 56):
            dependency.WITH_MULTIMODAL = False


@hooks.on_import('torchvision.extension')
def _torchvision_without_ops(extension: Any) -> None:
    """``import torchvision`` fails with a CPU build of torch and torchvision's CUDA wheel.

    "operator torchvision::nms does not exist": its compiled part, which declares it, cannot be
    loaded, and its Python part registers a kernel for it. Nothing here calls it: a declaration
    is enough. pytorch/pytorch#157648. Remove when torchvision works without its compiled part.
    """
    if extension._has_ops():
        return
    import torch
    # The module must keep it alive: a library that is collected removes its declarations.
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for name in ('nms', 'qnms'):
        library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    extension._vicmae_mm_declarations = library


@hooks.on_import('mmengine.utils.package_utils')
def _package_paths(package_utils: Any) -> None:
    """Configs with ``_base_ = 'package::file.py'`` need pkg_resources, gone in setuptools 82.

    For an editable install, they are also looked up in a folder that does not exist.
    open-mmlab/mmengine#1676 (merged after 0.10.7). Remove with the next release of mmengine.
    """
    for new in (is_installed, get_installed_path):
        rebind(getattr(package_utils, new.__name__), new)


def is_installed(package: str) -> bool:
    """Whether there is a distribution or module of that name; a bare folder is neither."""
    with suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(package)
        return True
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """Folder of the module that a distribution (``'mmaction2'``) installs, or of a module.

    A PackageNotFoundError if there is none, a RuntimeError if it is a bare folder.
    """
    module = package
    with suppress(importlib.metadata.PackageNotFoundError):
        # The module may have another name (mmaction2's is mmaction). Not every wheel has the file.
        top_level = importlib.metadata.distribution(package).read_text('top_level.txt')
        module = (top_level or package.replace('-', '_')).split()[0]
    spec = find_spec(module)
    if spec is None:
        raise importlib.metadata.PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package: a folder without __init__.py.')
    return os.path.dirname(spec.origin)


@hooks.on_import('mmengine.config.utils')
def _our_models(utils: Any) -> None:
    """``get_config('vicmae_mm::...')``: mmengine loads configs from a fixed list of packages.

    It also needs each config to be in a subfolder. No report known. Remove when mmengine asks the
    package instead, and loads all of its configs.
    """
    utils.MODULE2PACKAGE.setdefault('vicmae_mm', 'vicmae_mm')
    stock = utils._get_package_and_cfg_path

    @functools.wraps(stock)
    def _get_package_and_cfg_path(cfg_path: str) -> tuple[str, str]:
        package, _, name = cfg_path.partition('::')
        at_top = package == 'vicmae_mm' and not {'/', ':'} & {*name}
        return (package, name) if at_top else stock(cfg_path)

    rebind(stock, _get_package_and_cfg_path)


@hooks.on_import('mmengine.config.config')
def _our_configs(module: Any) -> None:
    """``_base_ = 'vicmae_mm::file.py'``: mmengine cannot read one at the top level of a package.

    It would also look up all types of another package's config in that package's scope, but ours
    name types of mmengine and mmpretrain, too. As with the path of the file, they are looked up in
    the config's ``default_scope``. No report known. Remove when mmengine does both.
    """
    stock = module.Config._get_cfg_path

    @functools.wraps(stock)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, _, name = cfg_path.partition('::')
        if package != 'vicmae_mm':
            return stock(cfg_path, filename)
        path = carried_folder('configs') / name
        if path.is_file():
            return str(path), None
        raise FileNotFoundError(
            errno.ENOENT, f'there is no such config in {path.parent}', cfg_path)

    module.Config._get_cfg_path = staticmethod(get_cfg_path)


@hooks.on_import('mmengine.runner.runner')
def _scope_in_collate(module: Any) -> None:
    """With another library's config as ``_base_``, mmengine's ``_scope_`` reaches collate_fn.

    "default_collate() got an unexpected keyword argument '_scope_'". A function that is not
    registered ends in "the first argument must be callable".
    open-mmlab/mmyolo#886. Remove when ``build_dataloader`` drops the key.
    """
    from mmengine.registry import FUNCTIONS

    from vicmae_mm.utils.errors import InputError
    stock = module.Runner.build_dataloader

    @functools.wraps(stock)
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        collate = dataloader.get('collate_fn') if isinstance(dataloader, dict) else None
        kind = collate.get('type') if isinstance(collate, dict) else None
        if isinstance(kind, str) and FUNCTIONS.get(kind) is None:
            raise InputError(f'collate_fn.type={kind!r} is not a registered function.')
        if isinstance(collate, dict) and '_scope_' in collate:
            dataloader = dataloader.copy()
            dataloader['collate_fn'] = {k: v for k, v in collate.items() if k != '_scope_'}
        return stock(dataloader, *args, **kwargs)

    module.Runner.build_dataloader = staticmethod(build_dataloader)
