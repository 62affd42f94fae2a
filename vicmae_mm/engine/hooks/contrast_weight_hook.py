"""The schedule that introduces the contrastive loss (paper section 3.3, Table 7)."""
import math

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

SCHEDULES = ('step', 'linear', 'cosine', 'constant')


def contrast_scale(epoch: int, schedule: str, begin: int, ramp_epochs: int) -> float:
    """Share of lambda in force during an epoch.

    Args:
        epoch: 0-based epoch.
        schedule: ``'step'``, ``'linear'``, ``'cosine'`` or ``'constant'``.
        begin: First epoch in which the loss takes part.
        ramp_epochs: Epochs a linear or cosine ramp takes to reach 1.

    Returns:
        A value in [0, 1].
    """
    if schedule == 'constant':
        return 1.0
    if epoch < begin:
        return 0.0
    if schedule == 'step':
        return 1.0
    progress = min((epoch - begin + 1) / ramp_epochs, 1.0)
    return progress if schedule == 'linear' else 0.5 * (1 - math.cos(math.pi * progress))


@HOOKS.register_module()
class ContrastWeightHook(Hook):
    """Set the model's ``contrast_scale`` from the epoch alone, so a resumed run is right.

    Args:
        schedule: ``'step'`` (Table 7), ``'linear'``, ``'cosine'`` or ``'constant'``.
        begin_ratio: First epoch with contrast, as a share of all epochs:
            0.25 is epoch 200 of 800 and stays sensible in shorter runs (rounded).
        begin: First epoch with contrast (0-based), instead of ``begin_ratio``.
        ramp_epochs: Length of a linear or cosine ramp.

    Raises:
        ValueError: If a value is unknown or out of range.
    """

    def __init__(self,
                 schedule: str = 'step',
                 begin_ratio: float = 0.25,
                 begin: int | None = None,
                 ramp_epochs: int = 0) -> None:
        if schedule not in SCHEDULES:
            raise InputError(f'schedule={schedule!r} is unknown: choose one of {SCHEDULES}.')
        if not 0 <= begin_ratio < 1:
            raise InputError(f'begin_ratio={begin_ratio} must be a share of the epochs in [0, 1).')
        if begin is not None and begin < 0:
            raise InputError(f'begin={begin} must be an epoch, 0 or later.')
        if schedule in ('linear', 'cosine') and ramp_epochs < 1:
            raise InputError(
                f'A {schedule} schedule needs ramp_epochs >= 1, but got {ramp_epochs}.')
        self.schedule = schedule
        self.begin_ratio = begin_ratio
        self.begin = begin
        self.ramp_epochs = ramp_epochs

    def before_train(self, runner: Runner) -> None:
        """See that the schedule fits the run.

        Raises:
            ValueError: If the run has no epochs to count, or too few for contrast to begin.
        """
        if self.schedule == 'constant':
            return
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise InputError('ContrastWeightHook counts epochs: use an EpochBasedTrainLoop, or '
                             "schedule='constant'.")
        if self._begin(runner) >= runner.max_epochs:
            raise InputError(f'Contrast begins with epoch {self._begin(runner)} (from 0) but the '
                             f'run has {runner.max_epochs}: lower begin or begin_ratio.')

    def _begin(self, runner: Runner) -> int:
        if self.begin is not None:
            return self.begin
        return round(self.begin_ratio * runner.max_epochs)

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch: dict | tuple | list | None = None) -> None:
        """Set the scale of the current epoch."""
        model = unwrapped_model(runner)
        model.contrast_scale = contrast_scale(
            runner.epoch, self.schedule, self._begin(runner), self.ramp_epochs)
