"""Curves of the run as a picture in the work directory."""
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.visualization.curves import find_scalars, plot_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Keep ``curves.png`` in the work directory up to date.

    It draws what ``LocalVisBackend`` has written, of this run and of those it
    resumed. Without that backend there is nothing to draw, and no picture. A
    failure is logged and training goes on.

    Args:
        interval: Epochs between two updates; the end of training is always drawn.

    Raises:
        ValueError: If ``interval`` is less than 1.
    """

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise InputError(f'CurvesHook: interval={interval!r} should be at least 1.')
        self.interval = interval

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw at the interval."""
        if self.every_n_epochs(runner, self.interval) and not self.is_last_train_epoch(runner):
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Draw the whole run."""
        self._draw(runner)

    @master_only
    def _draw(self, runner: Runner) -> None:
        scalars = find_scalars(runner.work_dir)
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
        except Exception:
            runner.logger.exception('curves.png could not be drawn; training goes on.')
