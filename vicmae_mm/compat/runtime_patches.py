"""Patches of faults in checkpoints, inferencers, training and colour augmentation."""
import functools
from collections.abc import Callable
from typing import Any

from .import_hooks import hooks, rebind


@hooks.on_import('mmengine.logging.history_buffer')
def _history_buffer(module: Any) -> None:
    """Checkpoints contain ``builtins.getattr``, which torch 2.6 correctly refuses to load.

    open-mmlab/mmengine#1655, #1650 (#1670 answers with ``weights_only=False``, which is no fix).
    Each logged value copies all before it: no report known. Remove when mmengine saves log
    histories as plain data, and appends to them.
    """
    from vicmae_mm.checkpoints import safety

    from .growing_history import GrowingHistory
    safety.allow_training_state(module.HistoryBuffer)
    for name in vars(GrowingHistory).keys() - vars(type('', (), {})).keys() - {'__annotations__'}:
        setattr(module.HistoryBuffer, name, vars(GrowingHistory)[name])


@hooks.on_import('mmengine.logging.message_hub')
def _scalars_of_a_step(module: Any) -> None:
    """The GPU waits between two steps until each logged tensor has been read by itself.

    While a run collects ``step_numbers``, all are read at once, one step later. The norm of
    clipped gradients is one of them. No report known. Remove when mmengine reads them late.
    """
    import torch
    stock = module.MessageHub.update_scalar

    @functools.wraps(stock)
    def update_scalar(self: Any, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        numbers = getattr(self, 'step_numbers', None)
        # The first value of a history decides its place in the log, so it must not be late.
        if numbers is not None and key in self._log_scalars and torch.is_tensor(value) and (
                key.startswith('train/') and not args and not kwargs):
            self._log_scalars[key].update(numbers.later(value))
        else:
            stock(self, key, value, *args, **kwargs)

    module.MessageHub.update_scalar = update_scalar


@hooks.on_import('mmengine.optim.optimizer.optimizer_wrapper')
def _norm_of_gradients(module: Any) -> None:
    """Clipping waits for the GPU to log the norm. Report and removal: as above."""
    module.float = lambda norm: norm  # read by ``update_scalar``


@hooks.on_import('mmengine.logging.logger')
def _file_names_in_logs(module: Any) -> None:
    """Logs lack each line about a file whose name is not UTF-8: writing it is an error.

    No report known. Remove when mmengine's handlers escape what they cannot encode.
    """
    stock = module.LogRecord.getMessage
    module.LogRecord.getMessage = lambda one: stock(one).encode(errors='backslashreplace').decode()


@hooks.on_import('mmengine.runner.checkpoint')
def _checkpoint_loader(module: Any) -> None:
    """Loading from a URL unpickles anything; resuming executes the checkpoint's config text.

    pytorch/vision#9632 for the URLs; no report known for the text (``Runner.resume``). Remove
    when mmengine passes ``weights_only=True`` and reads no config on resume.
    """
    from vicmae_mm.checkpoints import safety
    safety.guard_loader(module.CheckpointLoader)
    # onedl-mmengine's puts its own list of what may be loaded, with getattr, in the place of ours.
    if hasattr(module, '_safe_torch_load'):
        module._safe_torch_load = module.torch.load


@hooks.on_import('mmengine.infer.infer')
def _inferencer(module: Any) -> None:
    """An inferencer without a config executes the checkpoint's. Report and removal: as above."""
    from vicmae_mm.checkpoints import safety
    safety.refuse_config_of_checkpoint(module.BaseInferencer)


@hooks.on_import('mmpretrain.apis.base')
def _inferencer_scope(module: Any) -> None:
    """mmpretrain's inferencers look up transforms in the scope that mmaction2's left behind.

    Both libraries have a ``Resize``, ``PackInputs``, ... No report known. Remove when
    ``BaseInferencer`` builds its pipeline in its own scope, as it does its model.
    """
    stock = module.BaseInferencer.__init__

    @functools.wraps(stock)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        from mmengine.registry import DefaultScope
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            stock(self, *args, **kwargs)

    module.BaseInferencer.__init__ = init


@hooks.on_import('mmengine.runner.activation_checkpointing')
def _activation_checkpointing(module: Any) -> None:
    """``activation_checkpointing=['backbone']`` silently gives the backbone no gradient.

    Reentrant checkpointing passes none where the input needs none, and takes no keyword
    arguments. open-mmlab/mmengine#1539. Remove when mmengine passes ``use_reentrant=False``.
    """

    def wrap_forward(forward: Callable) -> Callable:
        @functools.wraps(forward)
        def checkpointed(*args: Any, **kwargs: Any) -> Any:
            return module.checkpoint(forward, *args, use_reentrant=False, **kwargs)

        return checkpointed

    module.wrap_forward = wrap_forward


@hooks.on_import('mmengine.dist.utils')
def _processes_on_cpu(utils: Any) -> None:
    """Several processes on CPUs: mmengine selects a GPU whatever the backend.

    Without an accelerator the processes are joined by gloo, whatever the config says.
    No report known. Remove when mmengine looks for a device first.
    """

    def init_dist(stock: Callable, backend: str, **kwargs: Any) -> None:
        import torch
        from mmengine.device import get_device
        if get_device() != 'cpu':
            return stock(backend, **kwargs)
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None  # the only obstacle
        try:
            return stock('gloo', **kwargs)
        finally:
            torch.cuda.set_device = set_device

    for name in ('_init_dist_pytorch', '_init_dist_slurm', '_init_dist_mpi'):
        setattr(utils, name, functools.partial(init_dist, getattr(utils, name)))


@hooks.on_import('mmengine.model.wrappers.distributed')
def _ddp_on_cpu(module: Any) -> None:
    """``Runner.wrap_model`` passes GPU numbers to DistributedDataParallel for a CPU model.

    No report known. Remove when mmengine looks at the model's device.
    """
    ddp = module.MMDistributedDataParallel
    stock = ddp.__init__

    @functools.wraps(stock)
    def init(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if all(parameter.device.type == 'cpu' for parameter in module.parameters()):
            kwargs['device_ids'] = None
        stock(self, module, *args, **kwargs)

    ddp.__init__ = init


class _Hue(float):
    """A share of the colour circle, as mmcv checks; times 255, an angle that fits uint8."""

    def __mul__(self, steps: Any) -> int:
        return int(float(self) * steps) % 256


@hooks.on_import('mmcv.image.photometric')
def _negative_hue_mmcv(photometric: Any) -> None:
    """numpy 2 raises OverflowError where ``np.uint8(-25)`` used to wrap around.

    Affects every ColorJitter with hue, mmpretrain's too. VBTI-development/onedl-mmcv#41. Remove
    with an mmcv that wraps by itself (none below 2.2 does).
    """
    stock = photometric.adjust_hue

    @functools.wraps(stock)
    def adjust_hue(img: Any, hue_factor: float, backend: str | None = None) -> Any:
        return stock(img, _Hue(hue_factor), backend)

    rebind(stock, adjust_hue)


@hooks.on_import('mmaction.datasets.transforms.processing')
def _negative_hue_mmaction(processing: Any) -> None:
    """The same in mmaction2, where large positive hues also wrapped at 256 instead of 180.

    No report known. Remove with mmaction2 > 1.2.0 if it computes in int.
    """
    import numpy as np
    cv2 = processing.cv2

    def adjust_hue(img: Any, factor: float) -> Any:
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        # 180, not 256: OpenCV stores the hue of 8-bit images in steps of two degrees.
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    processing.ColorJitter.adjust_hue = staticmethod(adjust_hue)
