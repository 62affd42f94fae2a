"""Where the time of a training step goes: by part of the model, and by operation."""
import warnings
from typing import Any

import torch
from mmengine.config import Config
from torch.profiler import ProfilerActivity, profile

from .timing import Clock, PartTimer
from .training_step import TrainingStep


def warm_step(cfg: Config, device: torch.device, batch_size: int) -> TrainingStep:
    """Return a step that has been called."""
    step = TrainingStep(cfg, batch_size, device)
    for _ in range(3):
        step()
    return step


def time_parts(step: TrainingStep, rounds: int, clock: Clock) -> dict[str, float]:
    """Return the median milliseconds of each part; the step cannot be used afterwards."""
    timer = PartTimer(clock)

    def watch(owner: object, method: str, name: str) -> None:
        if hasattr(owner, method):  # depends on the kind of model
            setattr(owner, method, timer.wrap(getattr(owner, method), name))

    # what is inside a compiled graph cannot be timed: fewer parts, and other names
    compiled = step.compiled
    model: Any = step.bare_model
    watch(model.data_preprocessor, 'forward', 'preprocessing')
    masked = hasattr(model.backbone, 'encode_visible')
    watch(model.backbone, 'forward', 'masking' if masked else 'encoder')
    watch(model.backbone, 'encode_visible',
          'encoder' if compiled else 'encoder: patch embedding, norms')
    watch(model, 'hidden_patch_loss', 'decoder, targets, loss' if compiled
          else 'decoder: embedding, norms, prediction; targets, loss')
    watch(model, '_contrast_loss', 'pooling, projector, contrast, monitors')
    if not compiled:
        for name, blocks in (('encoder', getattr(model.backbone, 'layers', ())),
                             ('decoder', getattr(model.neck, 'decoder_blocks', ()))):
            for block in blocks:
                watch(block.attn, 'forward', f'{name}: attention')
                watch(block.ffn, 'forward', f'{name}: MLP')
    watch(step.optim_wrapper, 'backward', 'backward')
    watch(step.optim_wrapper, 'step', 'optimizer')
    watch(step.optim_wrapper, 'zero_grad', 'optimizer')
    spans = [timer.measure(step) for _ in range(rounds + 1)][1:]
    names = dict.fromkeys(name for span in spans for name in span)
    return {name: 1000 * float(torch.tensor([span[name] for span in spans]).median())
            for name in names}


def top_operations(step: TrainingStep, count: int = 15, rounds: int = 2) -> list[tuple]:
    """Find the kernels of a GPU, or operations of a CPU, that take the most time of their own.

    Returns:
        Name, calls per step, milliseconds per step and share of the total, of each.
    """
    on_gpu = step.device.type == 'cuda'
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    with warnings.catch_warnings():
        # about cycles, which only matter to a profiler with a schedule
        warnings.simplefilter('ignore')
        with profile(activities=activities) as profiler:
            for _ in range(rounds):
                step()
    events = profiler.key_averages()
    attribute = 'self_cpu_time_total'
    if on_gpu:  # renamed in torch 2.4
        attribute = next(name for name in ('self_device_time_total', 'self_cuda_time_total')
                         if hasattr(events[0], name))
    # on a GPU's timeline, annotations cover the kernels and would count twice
    spans = [(event.key, event.count / rounds, getattr(event, attribute) / 1000 / rounds)
             for event in events if not (on_gpu and getattr(event, 'is_user_annotation', False))]
    total = sum(milliseconds for _, _, milliseconds in spans)
    spans.sort(key=lambda span: -span[2])
    return [(*span, span[2] / total) for span in spans[:count]]
