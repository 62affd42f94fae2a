"""The training step that mmengine's runner would do, on made-up frame pairs."""
import gc
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS, init_default_scope
from mmengine.runner import turn_on_activation_checkpointing
from mmengine.utils import import_modules_from_strings
from mmpretrain.models.selfsup.mae import MAE
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from vicmae_mm.engine.hooks import CompileHook
from vicmae_mm.models import ViCMAE
from vicmae_mm.registry import HOOKS, MODELS
from vicmae_mm.utils.errors import InputError

COMPILE = 'vicmae_mm.CompileHook'


class TrainingStep:
    """Model and optimizer of a config, built as the runner builds them; a call is one step.

    A step is what the runner calls ``train_step``: preprocessing, forward, backward, optimizer
    and zeroing of the gradients, with the config's precision. Its frames are on the device
    already, in the shape in which a data loader hands them over. ContrastWeightHook does not
    run, so the contrastive part is always on, as it is after the first epochs.

    Args:
        cfg: With ``model`` and ``optim_wrapper``; ``data_preprocessor``, ``custom_imports``,
            ``default_scope``, ``activation_checkpointing``, ``model_wrapper_cfg`` and
            ``find_unused_parameters`` are taken into account as the runner does; of its hooks,
            ``CompileHook`` and ``PackedAttentionHook``.
        batch_size: Pairs a process.
        device: Where it runs.

    Attributes:
        compiled: Whether ``CompileHook`` is among the hooks.

    Raises:
        ValueError: If the config's model is not one of pre-training.
    """

    def __init__(self, cfg: Config, batch_size: int, device: torch.device) -> None:
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        gc.collect()  # the model of an earlier step is in a cycle, and may fill the memory
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        self.device = device
        self.bare_model: Any = _build_model(cfg, device).train()
        self.model = _wrap(cfg, self.bare_model)
        self.optim_wrapper: Any = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.optim_wrapper.initialize_count_status(self.model, 0, 10**9)
        if cfg.get('activation_checkpointing'):
            turn_on_activation_checkpointing(self.bare_model, cfg.activation_checkpointing)
        hooks = _hooks_on_model(cfg)
        self.compiled = any(isinstance(hook, CompileHook) for hook in hooks)
        for hook in hooks:
            hook.before_train(SimpleNamespace(
                model=self.model, logger=MMLogger.get_current_instance()))
        self.set_batch_size(batch_size)

    def set_batch_size(self, batch_size: int) -> None:
        """Make other frames; the model stays."""
        size = getattr(self.bare_model.backbone, 'img_size', 224)
        height, width = (size, size) if isinstance(size, int) else size
        shape = (batch_size, 3, height, width)
        first, second = (
            torch.randint(256, shape, dtype=torch.uint8, device=self.device) for _ in range(2))
        # mmpretrain's MAE knows no pairs: to it they are twice as many images
        single = isinstance(self.bare_model, MAE)
        inputs: Tensor | list[Tensor] = torch.cat((first, second)) if single else [first, second]
        samples = [DataSample() for _ in range(batch_size * (1 + single))]
        self.batch = dict(inputs=inputs, data_samples=samples)

    def __call__(self) -> Mapping[str, Tensor]:
        """Do one step. Returns the losses, which may not have been computed yet."""
        return self.model.train_step(self.batch, optim_wrapper=self.optim_wrapper)

    def forward_backward(self) -> None:
        """Do what a step does before the optimizer."""
        with self.optim_wrapper.optim_context(self.model):
            data = self.bare_model.data_preprocessor(self.batch, training=True)
            losses = self.model(**data, mode='loss')
        self.bare_model.parse_losses(losses)[0].backward()


def with_compilation(cfg: Config) -> Config:
    """The config with its ``CompileHook``, or with one."""
    cfg = Config(cfg.to_dict())
    if not any(hook['type'] == COMPILE for hook in _hook_cfgs(cfg)):
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type=COMPILE)]
    return cfg


def without_hooks(cfg: Config) -> Config:
    """The config of a model that computes the same in the plain way, which can be counted."""
    return Config({**cfg.to_dict(), 'default_hooks': {}, 'custom_hooks': []})


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep mmengine from a line for every parameter that it initialises and optimizes."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _build_model(cfg: Config, device: torch.device) -> nn.Module:
    model_cfg = dict(cfg.model)
    if cfg.get('data_preprocessor'):
        model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
    model = MODELS.build(model_cfg).to(device)
    if not isinstance(model, (ViCMAE, MAE)):
        raise InputError(f'The model of the config is {type(model).__name__}: what is measured is '
                         'the step of pre-training, so give a config of vicmae_mm.ViCMAE.')
    model.init_weights()
    return model if get_world_size() > 1 else revert_sync_batchnorm(model)


def _hook_cfgs(cfg: Config) -> list[dict]:
    cfgs = [*cfg.get('default_hooks', {}).values(), *cfg.get('custom_hooks', [])]
    return [hook for hook in cfgs if hook]


def _hooks_on_model(cfg: Config) -> list[Hook]:
    """The config's hooks that change how its model computes."""
    return [HOOKS.build(hook) for hook in _hook_cfgs(cfg)
            if hook['type'] in (COMPILE, 'vicmae_mm.PackedAttentionHook')]


def _wrap(cfg: Config, model: nn.Module) -> Any:
    if get_world_size() == 1:
        return model
    options = dict(device_ids=[int(os.environ['LOCAL_RANK'])], module=model)
    if cfg.get('model_wrapper_cfg'):
        wrapper = dict(type='MMDistributedDataParallel') | cfg.model_wrapper_cfg.to_dict()
        return MODEL_WRAPPERS.build(wrapper, default_args=options)
    return MMDistributedDataParallel(
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False), **options)
