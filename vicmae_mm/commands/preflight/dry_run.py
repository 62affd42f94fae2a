"""A runner that is built and started as for training, up to the first step."""
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from vicmae_mm.checkpoints.weight_folders import check_exists
from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.engine.hooks import ClassCountHook
from vicmae_mm.engine.starting.start import choose_start, pretrained_modules
from vicmae_mm.engine.step_size import each_wrapper
from vicmae_mm.utils.errors import InputError, UserError

from .batch import check_batch, collate
from .disk import check_checkpoints
from .findings import Findings, describe
from .packages import check_packages
from .process import only_in_check
from .samples import build_loader, check_image_size, read_samples
from .schedule import build_schedules
from .shapes import build_without_values, check_loss, error_with_values

_WITHOUT_AMP = 'optimizer', 'constructor', 'paramwise_cfg', 'accumulative_counts', 'clip_grad'


class DryRunner(Runner):
    """mmengine's runner with a model whose tensors have shapes but no values.

    Everything that a config names is built by the methods that training calls, and the hooks check
    it as they do there. Each error is added to ``findings`` with its setting, and what depends on
    the setting is left out. Nothing is written.
    """

    findings: Findings
    model_settings: dict | None = None
    # As in mmengine: settings until they are built.
    _train_dataloader: Any
    _train_loop: Any
    optim_wrapper: Any

    def build_logger(self, log_level: Any = 'INFO', **kwargs: Any) -> MMLogger:
        """The logger of the check, which prints nothing."""
        with self.findings.catch('log_level'):
            logging.Handler().setLevel(log_level)
        return MMLogger.get_current_instance()

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build it and its backends, but let none write a picture."""
        built = None
        with self.findings.catch('visualizer'):
            built = super().build_visualizer(visualizer)
        built = built or super().build_visualizer()
        check_packages(built, self.findings)
        for name in dir(built):
            if name.startswith('add_'):
                setattr(built, name, lambda *args, **kwargs: None)
        return built

    def build_model(self, model: Any) -> nn.Module:
        """Build the model without values."""
        with self.findings.catch('model'):
            built, self.mode = build_without_values(model)
            self.model_settings = model
            return built
        return nn.Linear(1, 1)  # a stand-in

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """As for one process: tensors without values cannot be moved or broadcast."""
        return revert_sync_batchnorm(model)

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        groups = dict(default_hooks=self.cfg.get('default_hooks') or {},
                      custom_hooks=dict(enumerate(self.cfg.get('custom_hooks') or [])))
        name = next((f'{group}.{key}' for group, hooks in groups.items()
                     for key, each in hooks.items() if each == hook), 'default_hooks')
        with self.findings.catch(name):
            super().register_hook(hook, priority)

    def dump_config(self) -> None:
        """Write no config."""

    def _log_env(self, env_cfg: dict) -> None:
        """Log nothing, which saves running compilers."""

    def check(self) -> None:
        """Start everything; all errors are in ``findings``."""
        findings = self.findings
        settings = self._train_dataloader
        loader = self._train_dataloader = self._build_loader('train')
        with findings.catch('train_cfg'):
            self._train_loop = self.build_train_loop(self._train_loop)
            self._check_length()
        if self._val_loop is not None:
            self._build_evaluation('val')
        if self._load_from and not self._resume:
            with findings.catch():
                check_exists(self._load_from, 'correct load_from')
        self._build_optimizer()
        # Before samples and loss: of wrong labels, hooks say what to do, and torch does not.
        num_errors = len(findings.errors)
        if not num_errors and self.model_settings is not None:
            self._start()
        batches = {}
        if len(findings.errors) == num_errors:
            with findings.collect_warnings():
                samples = read_samples(loader, findings)
            batches = collate(loader, settings.get('sampler'), samples, findings)
            check_image_size(self, 'train', next(iter(batches.values()), None))
            if self._val_loop is not None:
                check_image_size(self, 'val', self._sample('val'))
            check_image_size(self, 'test', None)
        if self.model_settings is None:
            return
        views = [check_loss(self.model, self.mode, self.model_settings, batch, findings,
                            last=size if size != loader.batch_size and len(batches) > 1 else 0)
                 for size, batch in batches.items()]
        if not findings.errors:
            self._load()
            with findings.catch('log_processor'):
                self.message_hub.update_scalar('train/loss', 1.)
                self.log_processor._collect_scalars(
                    self.log_processor._parse_windows_size(self, 0), self, 'train')
        if views and isinstance(self._train_loop, BaseLoop):
            check_batch(self, next(iter(batches)), views[0], findings)
        with findings.catch('default_hooks.checkpoint'):
            check_checkpoints(self, findings)

    def check_test(self) -> None:
        """Start a test up to its first batch; all errors are in ``findings``."""
        self._build_evaluation('test')
        with self._attempt('before_run', self.findings.error):
            self.call_hook('before_run')
        batch = None if self.findings.errors else self._sample('test')
        if self.model_settings is None or self.findings.errors:
            return
        check_image_size(self, 'test', batch)
        if '://' not in str(self._load_from):
            with self._attempt('load_from', self.findings.error):
                self.load_or_resume()
                self.call_hook('before_test')
        check_loss(self.model, self.mode, self.model_settings, batch, self.findings, is_test=True)

    def _check_length(self) -> None:
        loop = self._train_loop
        if loop.max_iters < 1 and len(self._train_dataloader):
            raise InputError('it ends before the first step: set max_epochs or max_iters to 1 or '
                             'more')
        interval = getattr(loop, 'val_interval', 1)
        if not isinstance(interval, int) or interval < 1:
            raise InputError(f'val_interval={interval!r} must be a number of 1 or more')

    def _build_loader(self, split: str) -> DataLoader:
        build = partial(self.build_dataloader, seed=self.seed,
                        diff_rank_seed=self._randomness_cfg.get('diff_rank_seed', False))
        name = f'{split}_dataloader'
        # Datasets log missing and bad files as warnings.
        with self.findings.collect_warnings():
            return build_loader(getattr(self, f'_{name}'), name, build, self.findings)

    def _build_evaluation(self, split: str) -> None:
        setattr(self, f'_{split}_dataloader', self._build_loader(split))
        with self.findings.catch(f'{split}_evaluator'):
            settings = getattr(self, f'_{split}_evaluator')
            setattr(self, f'_{split}_evaluator', self.build_evaluator(settings))
        with self.findings.catch(f'{split}_cfg'):
            build = getattr(self, f'build_{split}_loop')
            setattr(self, f'_{split}_loop', build(getattr(self, f'_{split}_loop')))

    def _sample(self, split: str) -> Any:
        """A sample of validation or the test, as a batch of one; None after an error."""
        loader = getattr(self, f'_{split}_dataloader')
        with self.findings.collect_warnings(), self.findings.catch(f'{split}_dataloader'):
            samples = read_samples(loader, self.findings, split, 1)
            return loader.collate_fn(samples) if samples else None

    def _build_optimizer(self) -> None:
        settings: Any = self.optim_wrapper
        kind = str(settings.get('type'))
        if kind.endswith('AmpOptimWrapper') and not torch.cuda.is_available():
            self.findings.warn(f'optim_wrapper: {kind} needs a GPU, and there is none here')
            settings = {key: settings[key] for key in _WITHOUT_AMP if settings.get(key)}
        if self.model_settings is None:
            settings = dict(optimizer=dict(type='mmengine.SGD', lr=1.0))
        with self.findings.catch('optim_wrapper'):
            self.optim_wrapper = self.build_optim_wrapper(settings)
            for wrapper in each_wrapper(self.optim_wrapper):
                if getattr(wrapper, 'clip_grad_kwargs', None):  # used in the first step only
                    wrapper.clip_func([], **wrapper.clip_grad_kwargs)
        if isinstance(self.optim_wrapper, OptimWrapper) and isinstance(self._train_loop, BaseLoop):
            with self.findings.catch('auto_scale_lr'):
                self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
            with self.findings.catch('param_scheduler'):
                if self.param_schedulers is not None and len(self._train_dataloader):
                    build_schedules(self, self.findings)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call all hooks, as far as they need no values and write nothing."""
        for hook in self._hooks:
            try:
                getattr(hook, fn_name)(self, **kwargs)
            except Exception as error:
                if not only_in_check(error):
                    raise

    def _start(self) -> None:
        """Find out which checkpoints will be loaded, and let the hooks check the run."""
        with self._attempt('before_run', self.findings.error):
            choose_start(self)
            self.call_hook('before_run')
            if not any(isinstance(hook, ClassCountHook) for hook in self.hooks):
                try:  # may be intended, or fail in the first step
                    ClassCountHook().before_run(self)
                except UserError as error:
                    self.findings.warn(str(error))

    def _load(self) -> None:
        """Load the checkpoints, and let the hooks check the result."""
        for _, module, settings in pretrained_modules(self.model):
            if '://' in str(settings['checkpoint']):
                module.init_cfg = None  # a check downloads nothing
        with self._attempt('model', self._confirm):
            self._init_model_weights()
            if '://' not in str(self._load_from):
                with self._attempt('resume' if self._resume else 'load_from', self.findings.error):
                    self.load_or_resume()
                    with self._attempt('before_train', self.findings.error):
                        self.call_hook('before_train')

    @contextmanager
    def _attempt(self, name: str, report: Callable[[str], None]) -> Iterator[None]:
        """Add an error for the user; report others that are not due to this being a check."""
        try:
            yield
        except Exception as error:
            if words := user_message(error):
                self.findings.error(words)
            elif not only_in_check(error, name.startswith('before')):
                report(f'{name}: {describe(error)}')

    def _confirm(self, line: str) -> None:
        """Add an error of initialising the weights, unless it is due to missing values."""
        if error_with_values(self.model_settings or {}, lambda model: model.init_weights()):
            self.findings.error(line)
