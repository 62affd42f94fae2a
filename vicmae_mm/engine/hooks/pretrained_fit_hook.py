"""Refusing to train on an encoder that was not loaded."""
import functools
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.checkpoints.fit import CheckpointFit, not_finite
from vicmae_mm.checkpoints.weight_files import unwrap
from vicmae_mm.checkpoints.weight_folders import check_exists
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.starting.first_weights import first_weights
from vicmae_mm.engine.starting.start import choose_start, pretrained_modules
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

_SCRATCH = ('. To train from scratch on purpose: --cfg-options model.backbone.init_cfg=None '
            'default_hooks.pretrained_fit.allow_untrained=True')
_FRESH = ('ln2', 'temporal_embed')  # may be new: a norm after pooling, a time embedding
_UNUSED = ('ln1', )  # the norm before pooling, which the backbone may not have


@HOOKS.register_module()
class PretrainedFitHook(Hook):
    """Train only if all of the encoder was loaded from a checkpoint.

    mmengine loads ``init_cfg=dict(type='Pretrained', ...)`` leniently: if names or shapes differ,
    it warns and trains from random weights. This hook checks what is loaded into
    ``model.backbone``, after its load hooks (which resize position tables or inflate weights for
    clips), and stops the run if it does not fit. The checkpoint is that of ``resume`` or
    ``load_from``, else that of ``init_cfg``.

    Args:
        allow_untrained: Whether the run may start without a checkpoint, as pre-training does.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: No checkpoint is configured, or the backbone did not load all of it.
    """

    def __init__(self, allow_untrained: bool = False) -> None:
        self.allow_untrained = allow_untrained
        self._scratch = '.' if allow_untrained else _SCRATCH
        self._source = ''
        self._loaded: dict[str, Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        """Find out which checkpoint will be loaded, and install the check."""
        if current_task(runner) != 'train':
            return
        model = unwrapped_model(runner)
        self._config = runner.cfg.filename or 'this run'
        self._source, self._loaded = self._find_source(runner, model), {}
        if self._source:
            self._watch = model.backbone._register_load_state_dict_pre_hook(
                self._check, with_module=True)
        elif not self.allow_untrained:
            raise InputError(
                f'The encoder of {self._config} would start untrained: set a checkpoint with '
                '--cfg-options load_from=PATH, or model.backbone.init_cfg.checkpoint=PATH'
                f'{self._scratch}')

    def before_train(self, runner: Runner) -> None:
        """Check that the weights were loaded and are unchanged."""
        if not self._source:
            return  # intended, and logged by choose_start
        self._watch.remove()
        # Some backbones ignore init_cfg, others (MAEViT) initialise their weights after loading.
        state = unwrapped_model(runner).backbone.state_dict()
        lost = [key for key, value in self._loaded.items()
                if not torch.equal(state[key].cpu(), value.to('cpu', state[key].dtype))]
        if lost or not self._loaded:
            what = f'overwrote {lost[0]} of' if lost else 'did not load'
            backbone = type(unwrapped_model(runner).backbone).__name__
            raise InputError(f'{backbone} {what} the checkpoint {self._source} when it was '
                             'initialised: load the weights with load_from instead.')
        added = sorted({key.split('.')[0] for key in state.keys() - self._loaded.keys()})
        new = f'; new: {", ".join(added)}' if added else ''
        runner.logger.info(
            f'The encoder comes from {self._source}: {len(self._loaded)} tensors{new}.')
        self._loaded = {}

    def _find_source(self, runner: Runner, model: Any) -> str:
        """Path of the checkpoint that the encoder will be loaded from, '' if there is none."""
        choose_start(runner)
        for _, owner, cfg in pretrained_modules(model):
            path = cfg['checkpoint']
            if owner not in (model, model.backbone):
                continue
            if runner._load_from or not path:
                # The file may not exist, and its weights would be replaced anyway.
                owner.init_cfg = None
                continue
            check_exists(path, 'pre-train, or set yours with --cfg-options '
                         f'model.backbone.init_cfg.checkpoint=PATH{self._scratch}')
            owner.init_weights = functools.partial(self._init_weights, owner, cfg, model)
            return path
        return str(runner._load_from or '')

    def _init_weights(self, module: BaseModule, cfg: dict, model: Any) -> None:
        """The module's own ``init_weights``, which also takes files of other families."""
        del module.init_weights
        prefix = None if module is model else cfg.get('prefix') or ''
        read = CheckpointLoader.load_checkpoint

        def translate(*args: Any, **kwargs: Any) -> dict:
            content = read(*args, **kwargs)
            return dict(state_dict=first_weights(content, cfg['checkpoint'], model, prefix))

        # In mmengine's place, so that the module draws the random numbers that it always does.
        setattr(CheckpointLoader, 'load_checkpoint', translate)  # noqa: B010
        try:
            module.init_weights()
        finally:
            setattr(CheckpointLoader, 'load_checkpoint', read)  # noqa: B010

    def _check(self, module: nn.Module, state_dict: dict[str, Tensor], prefix: str,
               *args: Any) -> None:
        found = {key[len(prefix):]: value for key, value in state_dict.items()
                 if key.startswith(prefix)}
        # BatchNorms of old files have no count of batches, and need none.
        expected = {key: value for key, value in module.state_dict().items()
                    if key in found or not key.endswith('num_batches_tracked')}
        fit = CheckpointFit.of(found, expected, _FRESH, _UNUSED)
        if not fit:
            raise self._refusal(str(fit))
        if broken := not_finite(found):
            raise self._refusal(f'{len(broken)} of its parameters are not finite (NaN or '
                                f'infinity), such as {broken[0]}')
        self._loaded = {key: value for key, value in found.items() if key in expected}

    def _refusal(self, reason: str) -> InputError:
        checkpoint = CheckpointLoader.load_checkpoint(self._source, map_location='cpu', logger=None)
        family = describe_family(unwrap(checkpoint, self._source)[0])
        return InputError(
            f'{self._source} does not fit the encoder of {self._config}: {reason}. The file looks '
            f'like {family}. Use the config for its network and image size, or convert files of '
            f'other projects with vicmae convert{self._scratch}')
