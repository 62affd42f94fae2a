"""Detecting collapsed embeddings while the run can still be corrected."""
from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.engine.step_size import step_size
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

# Lower bounds, far from the values of healthy runs (docs/reliability.md, section 8). The first is
# between 0 (collapsed) and 1 (isotropic), the second between 0 and the width.
_BOUNDS = dict(embedding_std=0.1, embedding_rank=2.)
# In smaller batches even healthy embeddings have a low rank: two similar pairs are on a line.
_MIN_BATCH = 8
_REMIND_EVERY = 20  # times ``patience``


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn, with advice, if the embeddings of the global batches have collapsed.

    Embeddings that are all equal (``embedding_std`` near 0) or all on a line (``embedding_rank``
    near 1) satisfy a loss without negatives and teach nothing. Iterations without either value,
    as before contrast begins, are ignored.

    Args:
        patience: Number of consecutive iterations (at least 1) below a bound before a warning. It
            is repeated after 20 times as many, or if the embeddings recover and collapse again.
    """

    def __init__(self, patience: int = 50) -> None:
        if patience < 1:
            raise InputError(f'patience={patience} must be a number of iterations, 1 or more.')
        self.patience = patience
        self._below = 0
        self._unread: tuple[int, dict[str, Callable[[], Any]]] = (0, {})

    def before_train(self, runner: Runner) -> None:
        """Check that batches are large enough to detect a collapse."""
        size = runner.train_dataloader.batch_size  # None with a batch_sampler
        enough = size is None or step_size(
            runner, runner.optim_wrapper).simultaneous >= _MIN_BATCH
        self._watching = is_main_process() and enough
        if not enough:
            runner.logger.info(f'With fewer than {_MIN_BATCH} pairs per step, collapsed '
                               'embeddings cannot be detected: there will be no warning.')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Keep the values of this iteration, and judge those of the one before."""
        self.settle(runner)
        numbers = getattr(runner.message_hub, 'step_numbers', None)
        read = numbers.later if numbers else partial(partial, float)
        if self._watching and outputs:
            self._unread = runner.iter + 1, {
                name: read(outputs[name]) for name in _BOUNDS if name in outputs}
        if not numbers:
            self.settle(runner)

    def settle(self, runner: Runner) -> None:
        """Count consecutive iterations below a bound, and warn."""
        (iteration, unread), self._unread = self._unread, (0, {})
        values = {name: read() for name, read in unread.items()}
        if not values or None in values.values():  # the step was skipped
            return
        low = {name: value for name, value in values.items() if value < _BOUNDS[name]}
        self._below = self._below + 1 if low else 0
        if self._below and (self._below - self.patience) % (_REMIND_EVERY * self.patience) == 0:
            found = ' and '.join(f'{name} is {value:.3g}, below {_BOUNDS[name]:g}'
                                 for name, value in low.items())
            # The iteration makes each text unique: mmengine does not log the same warning twice.
            runner.logger.warning(
                f'The embeddings have collapsed: {found}, for {self._below} iterations up to '
                f'{iteration}. Nearly all videos are mapped to one point or line, from which the '
                'encoder learns nothing. Stop and resume from an earlier checkpoint; lower the '
                'learning rate or lengthen its warm-up, use more pairs per batch, and check that '
                "the head's protection against collapse is on (negatives of InfoNCEHead, "
                'stop_grad of SimSiamHead, std of VICRegHead).')

    after_train_epoch: Any = settle  # of the last iteration
