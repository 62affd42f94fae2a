"""Refusing to train an evaluation on an encoder that was not loaded."""
import functools
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModule, PretrainedInit
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.checkpoints.fit import CheckpointFit, not_finite
from vicmae_mm.checkpoints.integrity import check_exists
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

_SCRATCH = ('To train from scratch on purpose: --cfg-options model.backbone.init_cfg=None '
            'default_hooks.pretrained_fit.allow_untrained=True')


@HOOKS.register_module()
class PretrainedFitHook(Hook):
    """Train only on an encoder that came, all of it, from a checkpoint.

    mmengine loads ``init_cfg=dict(type='Pretrained', ...)`` leniently: where names or shapes
    differ it warns and trains on from random weights. This hook watches what is loaded into
    ``model.backbone``, after the load hooks of the backbone (which resize position tables
    or inflate weights for clips), and stops the run over what does not fit.

    The checkpoint is that of ``resume`` or ``load_from`` where there is one, and ``init_cfg``'s
    is then not needed; else ``init_cfg``'s.

    Args:
        fresh: Parts of the backbone that a checkpoint may lack: a norm after pooling, a time
            embedding.
        unused: Parts of the encoder in the file that the backbone may lack: the norm before
            pooling.
        allow_untrained: Whether the run may start without a checkpoint.
    """

    def __init__(self,
                 fresh: Sequence[str] = ('ln2', 'temporal_embed'),
                 unused: Sequence[str] = ('ln1', ),
                 allow_untrained: bool = False) -> None:
        self.fresh = tuple(fresh)
        self.unused = tuple(unused)
        self.allow_untrained = allow_untrained
        self._source = ''
        self._loaded: dict[str, Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        """Find out what will be loaded and watch it; mmengine initialises weights after this.

        Raises:
            FileNotFoundError: If the checkpoint does not exist.
            ValueError: If no checkpoint is named.
        """
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
                f'The encoder of {self._config} would start untrained: name a checkpoint by '
                f'--cfg-options model.backbone.init_cfg.checkpoint=PATH. {_SCRATCH}')

    def before_train(self, runner: Runner) -> None:
        """See that the weights arrived and are still there.

        Raises:
            ValueError: If the backbone never loaded the checkpoint, or overwrote it.
        """
        if not self._source:
            runner.logger.warning('The encoder starts untrained, as asked for.')
            return
        self._watch.remove()
        state = unwrapped_model(runner).backbone.state_dict()
        lost = [key for key, value in self._loaded.items()
                if not torch.equal(state[key].cpu(), value.to('cpu', state[key].dtype))]
        if lost or not self._loaded:
            what = f'overwrote {lost[0]} of' if lost else 'did not load'
            backbone = type(unwrapped_model(runner).backbone).__name__
            raise InputError(f'{backbone} {what} the checkpoint {self._source} when it was '
                             'initialised: bring the weights by load_from instead.')
        added = sorted({key.split('.')[0] for key in state.keys() - self._loaded.keys()})
        new = f'; new: {", ".join(added)}' if added else ''
        runner.logger.info(
            f'The encoder comes from {self._source}: {len(self._loaded)} parameters{new}.')
        self._loaded = {}

    def _find_source(self, runner: Runner, model: Any) -> str:
        """Path of the checkpoint the encoder will come from, '' if there is none."""
        whole = runner._load_from
        if runner._resume and not whole:
            whole = find_latest_checkpoint(runner.work_dir)
        for owner in (model.backbone, model):
            cfg = _pretrained_cfg(owner)
            if cfg is None:
                continue
            path = cfg['checkpoint']
            if whole or not path:
                owner.init_cfg = None  # would be read only to be replaced, or is not there
                continue
            check_exists(path, 'pre-train, or name yours by --cfg-options '
                         f'model.backbone.init_cfg.checkpoint=PATH. {_SCRATCH}')
            owner.init_weights = functools.partial(self._init_weights, owner)
            return path
        return str(whole or '')

    def _init_weights(self, module: BaseModule) -> None:
        """The module's own ``init_weights``, with words for a file without the prefix."""
        del module.init_weights
        try:
            module.init_weights()
        except AssertionError as error:
            if 'is not in the pretrained model' not in str(error):
                raise
            raise self._refusal(f'it has nothing under {str(error).split(" ")[0]!r}') from None

    def _check(self, module: nn.Module, state_dict: dict[str, Tensor], prefix: str,
               *args: Any) -> None:
        found = {key[len(prefix):]: value for key, value in state_dict.items()
                 if key.startswith(prefix)}
        # old BatchNorms have no count of batches, and need none
        wanted = {key: value for key, value in module.state_dict().items()
                  if key in found or not key.endswith('num_batches_tracked')}
        fit = CheckpointFit.of(found, wanted, self.fresh, self.unused)
        if not fit:
            raise self._refusal(str(fit))
        if broken := not_finite(found):
            raise self._refusal(f'{len(broken)} of its parameters are not finite (NaN or '
                                f'infinity), such as {broken[0]}')
        self._loaded = {key: value for key, value in found.items() if key in wanted}

    def _refusal(self, reason: str) -> InputError:
        checkpoint = CheckpointLoader.load_checkpoint(self._source, map_location='cpu', logger=None)
        family = describe_family(checkpoint.get('state_dict', checkpoint))
        return InputError(
            f'{self._source} does not fill the encoder of {self._config}: {reason}. The file looks '
            f'like {family}. Use the config for its size of network and images, or bring files of '
            f'other projects into shape by tools/convert_checkpoint.py. {_SCRATCH}')


def _pretrained_cfg(module: nn.Module) -> dict | None:
    cfgs = getattr(module, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if cfg['type'] in ('Pretrained', PretrainedInit):
            return cfg
    return None
