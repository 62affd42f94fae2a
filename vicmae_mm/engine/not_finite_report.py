"""What is said and recorded about a step whose loss or gradient is NaN or infinite."""
import json
import os.path as osp
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object, master_only
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from vicmae_mm.utils.errors import some_of

from .optimizers.gradient_guard import GuardedStep
from .runner_access import unwrapped_model

FILENAME = 'not_finite.jsonl'
# Keys under which mmpretrain, this package and mmaction2 name the file of a sample; else its index.
_NAMES = ('img_path', 'filename', 'sample_idx')


class UnreadStep(NamedTuple):
    """A step of which nothing is read from the device yet."""

    place: dict[str, int]  # iteration and epoch
    samples: list[Any]  # data samples of its batches
    losses: list[tuple[str, Tensor]]  # their sum, and the model's losses
    guarded: list[GuardedStep]  # one per optimizer


def describe_loss(runner: Runner, step: UnreadStep) -> str:
    """Record which losses are not finite; returns the same text on every rank."""
    means = ((name, part.mean()) for name, part in step.losses)
    broken = {name: str(mean.item()) for name, mean in means if not mean.isfinite()}
    total, own = broken.pop('their sum', None), None
    if total is not None:
        own = dict(terms=broken or {'their sum': total},
                   samples=_sample_names(step.samples[-1]))
    place, reports, path = _record(runner, step, own)
    ranks = '; '.join(_summarize(**report) for report in reports)
    return (f'The loss is not finite in {place}: {ranks}. No step was taken; {path} lists the '
            'complete batch.')


def describe_gradient(runner: Runner, step: UnreadStep) -> str:
    """As :func:`describe_loss`, for the gradients."""
    broken = {each for guarded in step.guarded for each in guarded.broken()}
    names = [name for name, parameter in unwrapped_model(runner).named_parameters()
             if id(parameter) in broken]
    own = dict(parameters=names, samples=[
        name for samples in step.samples for name in _sample_names(samples)])
    place, reports, path = _record(runner, step, own)
    names = list(dict.fromkeys(name for report in reports for name in report['parameters']))
    samples = [name for report in reports for name in report['samples']]
    # The losses of several optimizers are not known.
    loss = ('' if isinstance(runner.optim_wrapper, OptimWrapperDict) else
            ', although the loss is')
    return (f'The gradient is not finite in {place}{loss}: {some_of(names)}'
            + (f', with samples {some_of(samples)}' if samples else '')
            + f'. No step was taken; {path} lists the complete batch.')


def _record(runner: Runner, step: UnreadStep, own: dict | None) -> tuple[str, list[dict], str]:
    """Write the reports of all ranks to the file; return them, and where they are from."""
    reports = [dict(rank=rank, **report)
               for rank, report in enumerate(all_gather_object(own)) if report]
    path = osp.join(runner.work_dir, FILENAME)
    _append(path, [dict(step.place, **report) for report in reports], runner.logger)
    return 'iteration {iter} (epoch {epoch})'.format(**step.place), reports, path


def _sample_names(samples: Any) -> list[str]:
    """Files (or indices) of the data samples of a batch."""
    infos = [getattr(sample, 'metainfo', {})
             for sample in (samples if isinstance(samples, (list, tuple)) else [])]
    names = (next((info[key] for key in _NAMES if info.get(key) is not None), None)
             for info in infos)
    return [str(name) for name in names if name is not None]


def _summarize(rank: int, terms: dict[str, str], samples: list[str]) -> str:
    values = ', '.join(f'{name} is {value}' for name, value in terms.items())
    return f'rank {rank}: {values}' + (f', with samples {some_of(samples)}' if samples else '')


@master_only
def _append(path: str, reports: list[dict], logger: MMLogger) -> None:
    try:
        with open(path, 'a') as file:
            file.writelines(json.dumps(report) + '\n' for report in reports)
    except OSError as error:
        logger.warning(f'{path} cannot be written ({error}).')
