"""Check that the schedules end where the run ends."""
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch.utils._pytree import tree_flatten

from vicmae_mm.utils.errors import InputError

from .findings import Findings


def build_schedules(runner: Any, findings: Findings) -> None:
    """Build the schedules of a runner, and compare their ends with that of its training loop."""
    loop = runner._train_loop
    advice = (f'--epochs {loop.max_epochs} fits all schedules to the run'
              if isinstance(loop, EpochBasedTrainLoop) else 'set their end to it')
    try:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    except ValueError as error:  # such as a warm-up that is longer than the run
        raise InputError(f'{error}. Where the run is too short, {advice}') from error
    for schedule in tree_flatten(runner.param_schedulers)[0]:
        schedule._global_step = schedule.begin  # to its first two values
        for _ in range(0 if hasattr(schedule, 'patience') else 2):
            schedule.step()
    for index, schedule in enumerate(runner.param_schedulers):
        name = f'param_scheduler.{index} ({type(schedule).__name__})'
        if fault := _difference(schedule, runner.param_schedulers, loop):
            findings.error(f'{name} ends at {fault}: {advice}')
        elif hasattr(schedule, 'end_factor') and schedule.end - schedule.begin < 2:
            findings.error(f'{name} has one step, so it would stay at its start_factor: train '
                           'more steps, or leave it out')


def _difference(schedule: Any, schedules: list[Any], loop: Any) -> str:
    """Where a schedule and the run end, if this differs."""
    # The iterations of an epoch depend on the data: less than an epoch is no difference.
    is_finer = isinstance(loop, EpochBasedTrainLoop) and not schedule.by_epoch
    unit = len(loop.dataloader) if is_finer else 1
    total = loop.max_epochs if schedule.by_epoch else loop.max_iters
    begin, end = schedule.begin, schedule.end
    span = getattr(schedule, 'T_max', 0) or getattr(schedule, 'total_steps', 0)
    last = begin + max(getattr(schedule, 'milestones', None) or [0])
    is_warm_up = getattr(schedule, 'end_factor', 0) == 1 or hasattr(schedule, 'factor')
    continues = is_warm_up or any(other.begin == end for other in schedules
                                  if other.param_name == schedule.param_name)
    if end - total >= unit or (total - end >= unit and not continues):
        last = end
    # Some stock cosines count from the start of the run.
    elif span and abs(begin + span - end) >= unit and abs(span - total) >= unit:
        last = begin + span
    elif last <= total or hasattr(schedule, 'patience'):  # the latter follows a metric
        return ''
    name, by = ('epoch', unit) if is_finer else ('epoch' if schedule.by_epoch else 'iteration', 1)
    return f'{name} {last / by:g}, the run at {name} {total / by:g}'
