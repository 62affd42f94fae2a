"""Check that the schedules end where the run ends."""
import math
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch.utils._pytree import tree_flatten

from vicmae_mm.commands.run_length import end_of, schedules_of, warms_up

from .findings import Findings


def build_schedules(runner: Any, findings: Findings) -> None:
    """Build the schedules of a runner, check them, and let each take its first steps."""
    check_schedules(runner, findings)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    for schedule in tree_flatten(runner.param_schedulers)[0]:
        schedule._global_step = schedule.begin  # to its first two values
        for _ in range(0 if hasattr(schedule, 'patience') else 2):
            schedule.step()


def check_schedules(runner: Any, findings: Findings) -> None:
    """Compare the ends of the schedules with that of the training loop, which is built.

    A schedule that the run cuts, or that ends before it, is an error. Two kinds, which some
    published configs have, are warnings: rates that change at milestones, where none may be meant
    within the run, and a decay of which the run lacks the last eighth (a cosine's last 4 %).
    """
    loop, schedules = runner._train_loop, schedules_of(runner.cfg)
    in_epochs = isinstance(loop, EpochBasedTrainLoop)
    length: float = len(loop.dataloader) if in_epochs else 1
    if any(line.startswith('train_dataloader') for line in findings.errors):
        length = math.inf  # a stand-in's
    for index, each in enumerate(schedules):
        by_epoch, begin = each.get('by_epoch', True), each.get('begin') or 0
        total, unit = (loop.max_epochs, 'epoch') if by_epoch else (loop.max_iters, 'iteration')
        end = end_of(each, total)
        # The iterations of an epoch depend on the data: less than an epoch is no difference.
        late = (end - total) / (1 if by_epoch else length)
        goes_on = warms_up(each) or any(other.get('begin') == end for other in schedules)
        name = f'param_scheduler.{index} ({each.type})'
        if late >= 1 or (late <= -1 and not goes_on):
            steps_down = 'milestones' in each or 'step_size' in each
            lacks_little = 0 < end - total <= (end - begin) / 8 and not warms_up(each)
            (findings.warn if steps_down or lacks_little else findings.error)(
                f'{name} ends at {unit} {end}, the run at {unit} {total}: '
                + (f'--epochs {loop.max_epochs} fits all schedules to the run' if in_epochs
                   else 'set the ends of the schedules to it, with by_epoch=False'))
        steps = (end - begin) * (length if each.get('convert_to_iter_based') else 1)
        if 'start_factor' in each and steps < 2:
            findings.error(f'{name} has fewer than two steps, so it would stay at its '
                           'start_factor: train more steps, or leave it out')
