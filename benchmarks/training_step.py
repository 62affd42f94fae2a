"""The training step that mmengine's runner would do, on made-up frame pairs, and its counts."""
import gc
import inspect
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS, init_default_scope
from mmengine.runner import turn_on_activation_checkpointing
from mmengine.utils import digit_version, import_modules_from_strings
from mmpretrain.models.necks import MAEPretrainDecoder
from mmpretrain.models.selfsup.mae import MAE, MAEViT
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from vicmae_mm.engine.hooks import CompileHook
from vicmae_mm.models import ViCMAE
from vicmae_mm.registry import HOOKS, MODELS
from vicmae_mm.utils.errors import InputError

COMPILE = 'vicmae_mm.CompileHook'


class TrainingStep:
    """Model and optimizer of a config, built as the runner builds them; a call is one step.

    ``batch_size`` pairs are on the device already. Of the hooks, only ``CompileHook`` and
    ``PackedAttentionHook`` run: without ContrastWeightHook the contrast is on, as it is after the
    first epochs.
    """

    def __init__(self, cfg: Config, batch_size: int, device: torch.device) -> None:
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        # the model of an earlier step is part of a reference cycle, and may fill the memory
        gc.collect()
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        self.device = device
        model_cfg = dict(cfg.model)
        if cfg.get('data_preprocessor'):
            model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
        model: Any = MODELS.build(model_cfg).to(device)
        if not isinstance(model, (ViCMAE, MAE)):
            raise InputError(f'The model of the config is {type(model).__name__}, but only steps '
                             'of pre-training are measured: give a config of vicmae_mm.ViCMAE.')
        model.init_weights()
        several = get_world_size() > 1
        self.bare_model: Any = (model if several else revert_sync_batchnorm(model)).train()
        self.model: Any = self.bare_model
        if several:
            wrapper = cfg.get('model_wrapper_cfg') or dict(
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False))
            self.model = MODEL_WRAPPERS.build(
                {'type': 'MMDistributedDataParallel', **wrapper}, default_args=dict(
                    device_ids=[int(os.environ['LOCAL_RANK'])], module=self.bare_model))
        self.optim_wrapper: Any = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.optim_wrapper.initialize_count_status(self.model, 0, 10**9)
        if cfg.get('activation_checkpointing'):
            turn_on_activation_checkpointing(self.bare_model, cfg.activation_checkpointing)
        hooks = [HOOKS.build(hook) for hook in _hook_cfgs(cfg)
                 if hook['type'] in (COMPILE, 'vicmae_mm.PackedAttentionHook')]
        self.compiled = any(isinstance(hook, CompileHook) for hook in hooks)
        for hook in hooks:
            hook.before_train(SimpleNamespace(
                model=self.model, logger=MMLogger.get_current_instance()))
        self.set_batch_size(batch_size)

    def set_batch_size(self, batch_size: int) -> None:
        """Make new frames; the model stays."""
        size = getattr(self.bare_model.backbone, 'img_size', 224)
        shape = (batch_size, 3, *((size, size) if isinstance(size, int) else size))
        first, second = (
            torch.randint(256, shape, dtype=torch.uint8, device=self.device) for _ in range(2))
        # mmpretrain's MAE takes single images: a batch of pairs is twice as many of them
        single = isinstance(self.bare_model, MAE)
        inputs: Tensor | list[Tensor] = torch.cat((first, second)) if single else [first, second]
        samples = [DataSample() for _ in range(batch_size * (1 + single))]
        self.batch = dict(inputs=inputs, data_samples=samples)

    def __call__(self) -> Mapping[str, Tensor]:
        """Do one step; return the losses, which the GPU may not have computed yet."""
        return self.model.train_step(self.batch, optim_wrapper=self.optim_wrapper)

    def forward_backward(self) -> None:
        """Do the part of a step before the optimizer."""
        with self.optim_wrapper.optim_context(self.model):
            data = self.bare_model.data_preprocessor(self.batch, training=True)
            losses = self.model(**data, mode='loss')
        self.bare_model.parse_losses(losses)[0].backward()


def _hook_cfgs(cfg: Config) -> list[dict]:
    hooks = [*cfg.get('default_hooks', {}).values(), *cfg.get('custom_hooks', [])]
    return [hook for hook in hooks if hook]


def with_compile(cfg: Config) -> Config:
    """Return the config with its own ``CompileHook``, or with one added."""
    cfg = Config(cfg.to_dict())
    if not any(hook['type'] == COMPILE for hook in _hook_cfgs(cfg)):
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type=COMPILE)]
    return cfg


def without_hooks(cfg: Config) -> Config:
    """Return the config of the same model in plain operations, which can be counted."""
    return Config({**cfg.to_dict(), 'default_hooks': {}, 'custom_hooks': []})


def without_contrast(cfg: Config) -> Config:
    """Return the config without the contrastive part, which MAE does not have either."""
    parts = ('pooling', 'projector', 'target_projector', 'contrast_head')
    return Config(cfg.to_dict() | dict(model=cfg.model.to_dict() | dict.fromkeys(parts)))


def mmpretrain_mae(cfg: Config) -> Config:
    """Return MAE as mmpretrain trains it, with this config's sizes, mask ratio and precision."""
    def stock(kind: type, settings: Any) -> dict:
        known = inspect.signature(kind).parameters
        return dict({key: value for key, value in settings.items() if key in known},
                    type=f'mmpretrain.{kind.__name__}')

    if not cfg.model.get('decoder'):
        raise InputError('--baseline compares with mmpretrain.MAE, but the model of the config has '
                         'no decoder: give a config that reconstructs.')
    optim_wrapper = cfg.optim_wrapper.to_dict()
    # as in mmpretrain's configs/mae, with torch's default implementation of AdamW
    for settings, name in ((optim_wrapper, 'constructor'), (optim_wrapper['optimizer'], 'fused'),
                           (optim_wrapper['optimizer'], 'foreach')):
        settings.pop(name, None)
    undecayed = ('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token')
    optim_wrapper['paramwise_cfg'] = dict(
        custom_keys={name: dict(decay_mult=0.0) for name in undecayed})
    model = dict(type='mmpretrain.MAE', backbone=stock(MAEViT, cfg.model.backbone),
                 neck=stock(MAEPretrainDecoder, cfg.model.decoder), head=cfg.model.head,
                 init_cfg=cfg.model.get('init_cfg'))
    return Config(dict(
        default_scope='mmpretrain', custom_imports=cfg.get('custom_imports'), model=model,
        data_preprocessor=stock(SelfSupDataPreprocessor, cfg.get('data_preprocessor') or {}),
        find_unused_parameters=False, optim_wrapper=optim_wrapper))


def count_flops(cfg: Config) -> float:
    """Count the operations of matrix products of a step, per pair; a multiply-add is two.

    The similarities of the contrast, which grow with the square of the batch, are those of 2 pairs.
    """
    cfg = without_hooks(cfg)
    # What is computed twice to save memory counts once: a share of the peak is of useful work.
    cfg.activation_checkpointing = None
    if 'decoder_chunks' in cfg.model:
        cfg.model.decoder_chunks = 1
    # the fewest pairs that contrast and BatchNorm work with
    step = TrainingStep(cfg, 2, torch.device('cpu'))
    # the counter only knows attention on a CPU as plain matrix products
    before = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with FlopCounterMode(display=False) as counter:
            step.forward_backward()
    finally:
        torch.backends.cuda.enable_flash_sdp(before)
    return counter.get_total_flops() / 2


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors made within a ``with`` block, at most ``peak`` at a time.

    Buffers inside an operation, tensors made before and those in ``uncounted`` are not included.
    """

    def __init__(self, uncounted: Iterable[Tensor] = ()) -> None:
        if digit_version(torch.__version__) < digit_version('2.4.0'):
            raise ImportError(f'torch {torch.__version__} does not report freed memory: counting '
                              'bytes, as is done on a CPU, needs torch 2.4 or later.')
        super().__init__()
        self.peak = self._now = 0
        # kept: if one were freed, a new storage could get its number
        self._uncounted = [*uncounted]
        self._known = {*_storages(self._uncounted)}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run the operation; count what it returns unless it is a view or was there before."""
        before = _storages((args, kwargs))
        made = func(*args, **(kwargs or {}))
        for number, storage in _storages(made).items():
            if number not in before and number not in self._known:
                self._known.add(number)
                self._now += storage.nbytes()
                self.peak = max(self.peak, self._now)
                weakref.finalize(storage, self._release, number, storage.nbytes())
        return made

    def _release(self, number: int, size: int) -> None:
        self._known.remove(number)
        self._now -= size


def _storages(tree: Any) -> dict[int, torch.UntypedStorage]:
    """Storages of all tensors in a tree, by numbers that are unique while they live."""
    tensors = [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]
    return {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors}


@contextmanager
def fake_tensors(model: nn.Module) -> Iterator[LiveBytes]:
    """Make all tensors fake, without values; count the bytes of all but the model's."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, LiveBytes(
            map(mode.from_tensor, [*model.parameters(), *model.buffers()])) as live:
        yield live
