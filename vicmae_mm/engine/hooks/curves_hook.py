"""Curves of the run as a picture in the work dir."""
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.visualization.curves import find_scalars, plot_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw the scalars of this run, and of the runs it resumed, as ``curves.png`` in the work dir.

    The scalars are read from the files of ``LocalVisBackend``; without them there is no picture.

    Args:
        interval: Number of epochs between updates, at least 1; the end of training is always drawn.
    """

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise InputError(f'CurvesHook: interval={interval!r} must be at least 1.')
        self.interval = interval

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw at the interval."""
        if self.every_n_epochs(runner, self.interval) and not self.is_last_train_epoch(runner):
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Draw the complete run."""
        self._draw(runner)

    @master_only
    def _draw(self, runner: Runner) -> None:
        scalars = find_scalars(runner.work_dir)
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
        # Training must not stop because of a picture.
        except Exception:
            runner.logger.exception('curves.png could not be drawn; training continues.')
