"""Where the time of a training step goes: by part of the model, and by operation."""
import functools
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from .measuring import CLOCKS
from .training_step import TrainingStep

REST = 'everything else'


class PartTimer:
    """Share the time of a step out among its parts; what a part calls is that part's no more.

    Args:
        device: On a GPU, events in its queue take the time.
        now: Elsewhere the clock, in seconds.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._on_gpu = device.type == 'cuda'
        self._now = now
        self._running = [REST]
        self._marks: list[tuple[str, Any]] = []  # the part that begins, and when

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done within as this part's."""
        self._running.append(name)
        self._mark()
        try:
            yield
        finally:
            self._running.pop()
            self._mark()

    def watch(self, owner: object, method: str, name: str) -> None:
        """Count every call of ``owner.method`` as this part's."""
        function = getattr(owner, method)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        setattr(owner, method, watched)

    def measure(self, function: Callable[[], object]) -> dict[str, float]:
        """Seconds of each part of a call."""
        self._marks = []
        self._mark()
        function()
        self._mark()
        if self._on_gpu:
            torch.cuda.synchronize()
        seconds: dict[str, float] = defaultdict(float)
        for (name, start), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            seconds[name] += start.elapsed_time(end) / 1000 if self._on_gpu else end - start
        return seconds

    def _mark(self) -> None:
        if self._on_gpu:
            now: Any = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = self._now()
        self._marks.append((self._running[-1], now))


def time_parts(step: TrainingStep, rounds: int, clock: str = 'wall') -> dict[str, float]:
    """Median milliseconds of each part over several steps.

    Args:
        step: A warm one; it can't be used for anything else afterwards. The insides of a compiled
            model can't be looked into.
        rounds: How many.
        clock: For a CPU, as in :func:`interleave`.
    """
    compiled = step.compiled
    timer = PartTimer(step.device, CLOCKS[clock])
    model: Any = step.bare_model
    timer.watch(model.data_preprocessor, 'forward', 'preprocessing')
    masked = hasattr(model.backbone, 'encode_visible')
    timer.watch(model.backbone, 'forward', 'masking' if masked else 'encoder')
    for owner, method, name in (
        (model.backbone, 'encode_visible',
         'encoder' if compiled else 'encoder: patch embedding, norms'),
        (model, 'hidden_patch_loss', 'decoder, targets, loss' if compiled
         else 'decoder: embedding, norms, prediction; targets, loss'),
        (model, '_contrast_loss', 'pooling, projector, contrast, monitors'),
    ):
        if hasattr(owner, method):  # not of every kind of model
            timer.watch(owner, method, name)
    if not compiled:
        for name, blocks in (('encoder', getattr(model.backbone, 'layers', ())),
                             ('decoder', getattr(model.neck, 'decoder_blocks', ()))):
            for block in blocks:
                timer.watch(block.attn, 'forward', f'{name}: attention')
                timer.watch(block.ffn, 'forward', f'{name}: MLP')
    timer.watch(step.optim_wrapper, 'backward', 'backward')
    timer.watch(step.optim_wrapper, 'step', 'optimizer')
    timer.watch(step.optim_wrapper, 'zero_grad', 'optimizer')
    spans = [timer.measure(step) for _ in range(rounds + 1)][1:]
    names = dict.fromkeys(name for span in spans for name in span)
    return {name: 1000 * float(torch.tensor([span[name] for span in spans]).median())
            for name in names}


def top_operations(step: TrainingStep, count: int = 15, rounds: int = 2) -> list[tuple]:
    """The kernels of a GPU, or operations of a CPU, that take most time of their own.

    Returns:
        Name, calls a step, milliseconds a step and the share of all, for each.
    """
    on_gpu = step.device.type == 'cuda'
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of cycles, which belong to a schedule
        with profile(activities=activities) as profiler:
            for _ in range(rounds):
                step()
    events = profiler.key_averages()
    attribute = 'self_cpu_time_total'
    if on_gpu:  # renamed in torch 2.4
        attribute = next(name for name in ('self_device_time_total', 'self_cuda_time_total')
                         if hasattr(events[0], name))
    # on a GPU's time line annotations lie over the kernels
    spans = [(event.key, event.count / rounds, getattr(event, attribute) / 1000 / rounds)
             for event in events
             if not (on_gpu and getattr(event, 'is_user_annotation', False))]
    total = sum(milliseconds for _, _, milliseconds in spans)
    spans.sort(key=lambda span: -span[2])
    return [(*span, span[2] / total) for span in spans[:count]]
