"""Curves of the run as a picture in the work dir."""
import math
import time
from contextlib import suppress
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.engine.step_size import step_size
from vicmae_mm.models import InfoNCEHead
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.visualization.curves import find_scalars, plot_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw the scalars of this run, and of the runs it resumed, as ``curves.png`` in the work dir.

    The scalars are read from the files of ``LocalVisBackend``; without them there is no picture.

    Args:
        interval_minutes: Time between updates, which are at the ends of epochs. The end of training
            is always drawn.
    """

    _drawn_at = 0.  # by the main process

    def __init__(self, interval_minutes: float = 5.) -> None:
        self.interval_minutes = interval_minutes

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Add what the curves are compared with to the scalars: epochs, and what chance gives."""
        self._drawn_at = time.monotonic()
        in_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        scalars: dict[str, float] = dict(epoch_length=in_epochs * len(runner.train_dataloader))
        head = getattr(unwrapped_model(runner), 'contrast_head', None)
        with suppress(InputError):  # batches that differ in size
            size = step_size(runner, runner.optim_wrapper)
            if head is not None:
                scalars['pair_accuracy_chance'] = 1 / size.simultaneous
            if isinstance(head, InfoNCEHead):
                scalars['contrast_chance'] = math.log(1 + head.num_negatives(
                    size.batch, size.pairs, size.processes))
        runner.visualizer.add_scalars(scalars, step=runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw at the interval."""
        if (time.monotonic() - self._drawn_at >= 60 * self.interval_minutes
                and not self.is_last_train_epoch(runner)):
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Draw the complete run."""
        self._draw(runner)

    @master_only
    def _draw(self, runner: Runner) -> None:
        self._drawn_at = time.monotonic()
        scalars = find_scalars(runner.work_dir)
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
        # Training must not stop because of a picture.
        except Exception:
            runner.logger.exception('curves.png could not be drawn; training continues.')
