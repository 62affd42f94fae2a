"""What is said and recorded about a step whose loss or gradient is NaN or infinite."""
import json
import os.path as osp
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object, is_main_process
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
    ranks = '; '.join(
        f'rank {report["rank"]}: '
        + ', '.join(f'{name} is {value}' for name, value in report['terms'].items())
        + _with_samples(report['samples']) for report in reports)
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
            f'{_with_samples(samples)}. No step was taken; {path} lists the complete batch.')


def _record(runner: Runner, step: UnreadStep, own: dict | None) -> tuple[str, list[dict], str]:
    """Write the reports of all ranks to the file; return them, and where they are from."""
    reports = [dict(rank=rank, **report)
               for rank, report in enumerate(all_gather_object(own)) if report]
    path = osp.join(runner.work_dir, FILENAME)
    if is_main_process():
        try:
            with open(path, 'a') as file:
                file.writelines(
                    json.dumps(dict(step.place, **report)) + '\n' for report in reports)
        except OSError as error:
            runner.logger.warning(f'{path} cannot be written ({error}).')
    return 'iteration {iter} (epoch {epoch})'.format(**step.place), reports, path


def _sample_names(samples: Any) -> list[str]:
    """Files (or indices) of the data samples of a batch."""
    infos = [getattr(sample, 'metainfo', {})
             for sample in (samples if isinstance(samples, (list, tuple)) else [])]
    found = ([info[key] for key in _NAMES if info.get(key) is not None] for info in infos)
    return [str(names[0]) for names in found if names]


def _with_samples(samples: list[str]) -> str:
    return f', with samples {some_of(samples)}' if samples else ''
