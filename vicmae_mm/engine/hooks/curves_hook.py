"""Curves of the run as a picture in the work dir."""
import time
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.visualization.curves import find_scalars, plot_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw the scalars of this run, and of the runs it resumed, as ``curves.png`` in the work dir.

    The scalars are read from the files of ``LocalVisBackend``; without them there is no picture.

    Args:
        interval_minutes: Time between updates, which are at the ends of epochs and of training.
    """

    def __init__(self, interval_minutes: float = 5.) -> None:
        self.interval_minutes = interval_minutes
        self._drawn_at = time.monotonic()

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw what there is, if the last picture is old enough."""
        if (time.monotonic() - self._drawn_at >= 60 * self.interval_minutes
                and not self.is_last_train_epoch(runner)):
            self.after_train(runner)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Draw the run."""
        self._drawn_at = time.monotonic()
        scalars = find_scalars(runner.work_dir)
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
        # Training must not stop because of a picture.
        except Exception:
            runner.logger.exception('curves.png could not be drawn; training continues.')
