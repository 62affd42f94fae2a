"""Upstream faults that stop a user, mended in one place.

Every mend names the fault, where it is reported and when the mend can go. Mends wait
for the module they mend to be imported (:mod:`vicmae_mm.compat.import_hooks`).
:func:`apply` runs on ``import vicmae_mm``, so a config gets them through
``custom_imports`` alone, under mmaction2's and mmpretrain's own tools too.

Supported: Python 3.10 to 3.13, torch 2.1 to 2.15, mmengine 0.10, mmaction2 1.2.0,
mmpretrain 1.2.0, mmcv or mmcv-lite 2.0.1 to 2.1.
"""
import functools
import importlib.metadata
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from vicmae_mm.checkpoints import safety as checkpoint_safety

from .import_hooks import ImportHooks, MissingPackage, rebind

_MMCV = "pip install 'mmcv-lite>=2.0.1,<2.2'"
_hooks = ImportHooks()


def apply() -> None:
    """Put every mend in place. Calling it again does nothing.

    Raises:
        ImportError: mmcv is missing or too new, with the command that helps.
    """
    _require_mmcv()
    _mmaction_drn.install()
    _hooks.install()
    # mmcv-lite advises everybody to install the full mmcv, for a module nothing here uses.
    # Goes when mmcv imports it on demand.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def _require_mmcv() -> None:
    if find_spec('mmcv') is None:
        raise ImportError(f'vicmae_mm needs mmcv or mmcv-lite, and finds neither: {_MMCV}')
    for name in ('mmcv', 'mmcv-lite'):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if tuple(int(n) for n in version.split('.')[:2]) >= (2, 2):
            raise ImportError(
                f'{name} {version} is installed, but mmaction2 1.2.0 works with mmcv before 2.2 '
                f'alone: pip uninstall {name}, then {_MMCV}')


# --- Imports and configs ------------------------------------------------------------------

class _DRN:
    """Stands in for mmaction2's DRN, which its wheel lacks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError("mmaction2's wheel lacks mmaction/models/localizers/drn: install "
                          'mmaction2 from source to use DRN.')


# `pip install mmaction2` can't import its models: the wheel forgets a folder.
# open-mmlab/mmaction2#2714, #2845. Goes with a mmaction2 after 1.2.0; a real folder wins.
_mmaction_drn = MissingPackage(
    'mmaction.models.localizers.drn', {'': {}, 'drn': {'DRN': _DRN}})


@_hooks.on_import('mmaction.utils.dependency', 'mmpretrain.utils.dependency')
def _multimodal_models(dependency: Any) -> None:
    """With transformers 4.56 installed, nothing of mmaction2's models can be imported.

    "cannot import name 'apply_chunking_to_forward'": their language models want what it has
    no more. They are left out, as where transformers is missing. Reported for other users of
    the function (modelscope/evalscope#864). Goes with a mmaction2 after 1.2.0.
    """
    try:
        version = importlib.metadata.version('transformers')
    except importlib.metadata.PackageNotFoundError:
        return
    if tuple(int(n) for n in version.split('.')[:2]) >= (4, 56):
        dependency.WITH_MULTIMODAL = False


@_hooks.on_import('torchvision.extension')
def _torchvision_without_ops(extension: Any) -> None:
    """A CPU torch next to torchvision's CUDA wheel: ``import torchvision`` fails.

    "operator torchvision::nms does not exist": its compiled part can't load, and its
    Python part registers kernels for operators that part would have declared. None is
    used here; declared without a kernel they fail when called. pytorch/pytorch#157648.
    Goes when torchvision imports without its compiled part.
    """
    if extension._has_ops():
        return
    # Kept alive by the module: a collected library takes its declarations along.
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for name in ('nms', 'qnms'):
        library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    extension._vicmae_mm_declarations = library


@_hooks.on_import('mmengine.utils.package_utils')
def _package_paths(package_utils: Any) -> None:
    """Configs with ``_base_ = 'package::file.py'`` need pkg_resources, gone in setuptools 82.

    And for an editable install they look in a folder that doesn't exist.
    open-mmlab/mmengine#1676 (merged after 0.10.7). Goes with the next release of mmengine.
    """
    for new in (is_installed, get_installed_path):
        old = getattr(package_utils, new.__name__)
        setattr(package_utils, new.__name__, new)
        rebind(old, new, new.__name__)


def is_installed(package: str) -> bool:
    """Whether a distribution or module of that name is there."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return find_spec(package) is not None
    return True


def get_installed_path(package: str) -> str:
    """Folder of the module that a distribution (``'mmaction2'``) installs, or of a module.

    Raises:
        ModuleNotFoundError: There is none.
    """
    module = package
    try:
        top_level = importlib.metadata.distribution(package).read_text('top_level.txt')
        module = (top_level or package.replace('-', '_')).split()[0]
    except importlib.metadata.PackageNotFoundError:
        pass
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f'{package} is not installed, or is a namespace package.')
    return os.path.dirname(spec.origin)


@_hooks.on_import('mmengine.config.utils')
def _our_configs(utils: Any) -> None:
    """``'vicmae_mm::dir/file.py'``: mmengine loads configs of a closed list of packages.

    Reported nowhere that we know. Goes when mmengine asks the package instead.
    """
    utils.MODULE2PACKAGE.setdefault('vicmae_mm', 'vicmae_mm')


@_hooks.on_import('mmengine.runner.runner')
def _scope_in_collate(module: Any) -> None:
    """Configs over another library's ``_base_``: mmengine's ``_scope_`` reaches collate_fn.

    "default_collate() got an unexpected keyword argument '_scope_'".
    open-mmlab/mmyolo#886. Goes when ``build_dataloader`` removes it.
    """
    stock = module.Runner.build_dataloader

    @functools.wraps(stock)
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        collate = dataloader.get('collate_fn') if isinstance(dataloader, dict) else None
        if isinstance(collate, dict) and '_scope_' in collate:
            dataloader = dataloader.copy()
            dataloader['collate_fn'] = {k: v for k, v in collate.items() if k != '_scope_'}
        return stock(dataloader, *args, **kwargs)

    module.Runner.build_dataloader = staticmethod(build_dataloader)


# --- Checkpoints --------------------------------------------------------------------------

@_hooks.on_import('mmengine.logging.history_buffer')
def _history_buffer(module: Any) -> None:
    """Checkpoints contain ``builtins.getattr``, which torch 2.6 rightly refuses to load.

    open-mmlab/mmengine#1655, #1650 (#1670 answers with ``weights_only=False``: no mend).
    Goes when mmengine saves log histories as plain data.
    """
    checkpoint_safety.allow_training_state(module.HistoryBuffer)
    checkpoint_safety.slim_history_buffer(module.HistoryBuffer)


@_hooks.on_import('mmengine.runner.checkpoint')
def _checkpoint_loader(module: Any) -> None:
    """Loading from a URL unpickles anything; resuming executes the checkpoint's config text.

    pytorch/vision#9632 for the URLs; the text (``Runner.resume``) is reported nowhere that
    we know. Goes when mmengine passes ``weights_only=True`` and reads no config on resume.
    """
    checkpoint_safety.guard_loader(module.CheckpointLoader)


@_hooks.on_import('mmengine.infer.infer')
def _inferencer(module: Any) -> None:
    """An inferencer without a config executes the checkpoint's. As above."""
    checkpoint_safety.refuse_config_of_checkpoint(module.BaseInferencer)


# --- Inference ----------------------------------------------------------------------------

@_hooks.on_import('mmpretrain.apis.base')
def _inferencer_scope(module: Any) -> None:
    """mmpretrain's inferencers look up transforms in the scope that mmaction2's set for good.

    Both libraries have a ``Resize``, ``PackInputs``, ... Reported nowhere that we know. Goes
    when ``BaseInferencer`` builds its pipeline in its own scope, as it does its model.
    """
    inferencer = module.BaseInferencer
    stock = inferencer.__init__

    @functools.wraps(stock)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        from mmengine.registry import DefaultScope
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            stock(self, *args, **kwargs)

    inferencer.__init__ = init


# --- Training -----------------------------------------------------------------------------

@_hooks.on_import('mmengine.runner.activation_checkpointing')
def _activation_checkpointing(module: Any) -> None:
    """``activation_checkpointing=['backbone']`` gives the backbone no gradient, silently.

    Reentrant checkpointing passes none where the input needs none, and takes no keyword
    arguments. open-mmlab/mmengine#1539. Goes when mmengine passes ``use_reentrant=False``.
    """

    def wrap_forward(forward: Callable) -> Callable:
        @functools.wraps(forward)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return module.checkpoint(forward, *args, use_reentrant=False, **kwargs)

        return wrapper

    module.wrap_forward = wrap_forward


@_hooks.on_import('mmengine.dist.utils')
def _processes_on_cpu(utils: Any) -> None:
    """Several processes on CPUs: mmengine selects a GPU whatever the backend.

    Without an accelerator the processes are joined by gloo, whatever the config says.
    Reported nowhere that we know. Goes when mmengine looks for a device first.
    """
    for name in ('_init_dist_pytorch', '_init_dist_slurm'):
        setattr(utils, name, _over_gloo_on_cpu(getattr(utils, name)))


def _over_gloo_on_cpu(stock: Callable) -> Callable:
    @functools.wraps(stock)
    def init_dist(backend: str, **kwargs: Any) -> None:
        from mmengine.device import get_device
        if get_device() != 'cpu':
            return stock(backend, **kwargs)
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None  # all that is in the way
        try:
            return stock('gloo', **kwargs)
        finally:
            torch.cuda.set_device = set_device

    return init_dist


@_hooks.on_import('mmengine.model.wrappers.distributed')
def _ddp_on_cpu(module: Any) -> None:
    """``Runner.wrap_model`` passes GPU numbers to DistributedDataParallel for a CPU model.

    Reported nowhere that we know. Goes when mmengine looks at the model's device.
    """
    ddp = module.MMDistributedDataParallel
    stock = ddp.__init__

    @functools.wraps(stock)
    def init(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if all(parameter.device.type == 'cpu' for parameter in module.parameters()):
            kwargs['device_ids'] = None
        stock(self, module, *args, **kwargs)

    ddp.__init__ = init


# --- Colours ------------------------------------------------------------------------------

class _Hue(float):
    """A share of the colour circle; times 255 it is an angle that fits uint8."""

    def __mul__(self, steps: Any) -> int:
        return int(float(self) * steps) % 256


@_hooks.on_import('mmcv.image.photometric')
def _negative_hue_mmcv(photometric: Any) -> None:
    """numpy 2 raises OverflowError where ``np.uint8(-25)`` was to wrap around.

    Every ColorJitter with hue, in mmpretrain too. VBTI-development/onedl-mmcv#41. Goes
    with a mmcv that wraps by itself (none yet below 2.2).
    """
    stock = photometric.adjust_hue

    @functools.wraps(stock)
    def adjust_hue(img: np.ndarray, hue_factor: float, backend: str | None = None) -> np.ndarray:
        return stock(img, _Hue(hue_factor), backend)

    photometric.adjust_hue = adjust_hue
    rebind(stock, adjust_hue, 'adjust_hue')


@_hooks.on_import('mmaction.datasets.transforms.processing')
def _negative_hue_mmaction(processing: Any) -> None:
    """The same in mmaction2; large positive hues also wrapped at 256 instead of 180.

    Reported nowhere that we know. Goes with a mmaction2 after 1.2.0 that computes in int.
    """
    cv2 = processing.cv2

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    processing.ColorJitter.adjust_hue = staticmethod(adjust_hue)
