"""Where the time of a real run goes: steps, data, hooks, saving, ends of epochs.

Trains as tools/train.py does, with its options, and divides the time of the training process. On a
GPU, a part contains the launch of its kernels and whatever it waits for. Not included is what comes
before the second step (start of workers, compilation). Without --work-dir, the run is deleted.

  vicmae benchmark loop configs/vicmae_vit-b16_k400-packed.py --epochs 3 \\
      --cfg-options train_dataloader.num_batch_per_epoch=100
"""
import argparse
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from threading import get_ident
from typing import Any, cast
from unittest.mock import patch

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor

from vicmae_mm.commands.terminal import build_tool_runner
from vicmae_mm.commands.train_options import add_train_options, read_train_config
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.engine.starting.start import choose_start
from vicmae_mm.utils.errors import InputError

from .output import print_machine, print_table
from .step import operations, print_operations, profiler_of
from .timing import REST, Clock, PartTimer

FIRST, WAITING, EPOCH_END = 'start', 'waiting for a batch', "an epoch's end and next first batch"
SAVING, VALIDATION, END = 'saving (blocking part)', 'validation', 'end of the run'
STEP = ('preprocessing, copy to the device', 'forward', 'between forward and backward', 'backward',
        'optimizer')
ITERATION = 'rest of a step'
OTHERS = (SAVING, VALIDATION, END, ITERATION, REST)
PROFILED = 10  # steps
READS = [(Tensor, name) for name in (
    'item', 'tolist', 'cpu', 'numpy', '__float__', '__int__', '__bool__', '__index__')]
OPTIMIZERS = str(Path(torch.optim.__file__).parent)
# of which torch does not warn
WAITS = [(torch.cuda.Event, 'synchronize'), (torch.cuda.Stream, 'synchronize'),
         (torch.cuda, 'synchronize')]


class LoopTimer(PartTimer):
    """A :class:`PartTimer` of one thread that a run starts and whose parts change their names."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._thread = get_ident()

    def wrap(self, function: Callable, name: str) -> Callable:
        """Return the function, which a checkpoint's thread may call as well, uncounted."""
        timed = super().wrap(function, name)

        @wraps(function)
        def in_own_thread(*args: Any, **kwargs: Any) -> Any:
            return (timed if get_ident() == self._thread else function)(*args, **kwargs)
        return in_own_thread

    def restart(self) -> None:
        """Forget what was measured so far."""
        self._marks.clear()
        self._mark()

    def in_a_step(self) -> bool:
        """Whether a step of this thread is running, but neither saving nor validation."""
        running = {*self._running}
        return get_ident() == self._thread and ITERATION in running and not (
            running & {SAVING, VALIDATION})

    def rename(self, name: str) -> None:
        """Count what the running function does from now on as another part."""
        self._running[-1] = name
        self._mark()


class LoopWatch(Hook):
    """Divides the time of a run among its parts, and counts what waits for the device."""

    def __init__(self, clock: str, profiled: int) -> None:
        self.timer = LoopTimer(Clock(clock))
        self.reads: Counter[str] = Counter()  # by place in the code
        self.saves = self.epochs = 0
        self.first = 1 + profiled  # steps that are not timed
        self.profiler: Any = None
        self.steps = 0
        self._ready = False

    def train(self, runner: Runner) -> dict[str, float]:
        """Train; return the seconds of each part."""
        runner.register_hook(self)
        runner._hooks.insert(0, runner._hooks.pop(runner._hooks.index(self)))
        with count_reads(self.reads, self.timer.in_a_step):
            runner.train()
        self.timer.rename(REST)
        return self.timer.seconds()

    def before_train(self, runner: Runner) -> None:
        """Watch everything that the run calls from now on."""
        loop = runner.train_loop
        if not hasattr(loop, 'run_epoch'):
            raise InputError(f'{type(loop).__name__} has no epochs: this measures runs by epochs.')
        if (total := max(0, runner.max_iters - runner.iter)) <= self.first:
            raise InputError(f'The run has {total} steps left, of which the first {self.first} are '
                             'not timed: give --epochs, or smaller batches.')
        if self.first > 1:
            self.profiler = profiler_of(next(runner.model.parameters()).device)
        for hook in runner.hooks[1:]:
            for stage in hook.get_triggered_stages():
                self._watch(hook, stage, _part_of(hook, stage))
        self._watch(loop, 'run_iter', ITERATION)
        loop.run_iter = self._count_steps(runner, loop.run_iter)
        self._watch(loop, 'run_epoch', EPOCH_END)
        if runner.val_loop is not None:
            self._watch(runner.val_loop, 'run', VALIDATION)

    def before_train_epoch(self, runner: Runner) -> None:
        """Watch the step, which the hooks have changed by now."""
        if self._ready:
            return
        self._ready = True
        self._watch(unwrapped_model(runner).data_preprocessor, 'forward', STEP[0])
        self._watch(runner.model, 'train_step', STEP[1])
        for method, name in (('update_params', STEP[2]), ('backward', STEP[3]), ('step', STEP[4]),
                             ('zero_grad', STEP[4])):
            self._watch(runner.optim_wrapper, method, name)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Count it."""
        self.saves += 1

    def _watch(self, owner: Any, method: str, name: str) -> None:
        setattr(owner, method, self.timer.wrap(getattr(owner, method), name))

    def _count_steps(self, runner: Runner, run_iter: Callable) -> Callable:
        """What ``run_epoch`` does between two steps is waiting, after the last one its end."""
        start = runner.iter

        @wraps(run_iter)
        def counted(idx: int, batch: Any) -> None:
            run_iter(idx, batch)
            is_last = idx + 1 == len(runner.train_dataloader)
            self.timer.rename(EPOCH_END if is_last else WAITING)
            done = runner.iter - start
            self.steps, self.epochs = done - self.first, self.epochs + is_last
            if done == 1 and self.profiler is not None:
                self.profiler.start()
            if done == self.first:
                if self.profiler is not None:
                    self.profiler.stop()
                self.reads.clear()
                self.saves = self.epochs = 0
                self.timer.restart()
        return counted


def _part_of(hook: Hook, stage: str) -> str:
    if isinstance(hook, CheckpointHook) or 'save_checkpoint' in stage:
        return SAVING
    if stage.endswith('train_iter'):
        return f'{type(hook).__name__}'
    if stage.endswith('train_epoch'):
        return f'{type(hook).__name__}, per epoch'
    return END if stage in ('after_train', 'after_run') else VALIDATION


@contextmanager
def count_reads(places: Counter[str], counts: Callable[[], bool]) -> Iterator[None]:
    """Count by place what makes Python wait for the GPU; on a CPU, what would read from one."""
    on_gpu = torch.cuda.is_available()
    methods = WAITS if on_gpu else READS

    def show(*args: Any) -> None:
        message, _, file, line = args[:4]
        if 'synchronizing CUDA' in str(message):
            places[_short(file, line)] += counts()
        else:
            shown(*args)

    with warnings.catch_warnings(), ExitStack() as stack:
        for owner, name in methods:
            stack.enter_context(patch.object(
                owner, name, _counted(getattr(owner, name), places, counts)))
        if on_gpu:
            shown = warnings.showwarning
            warnings.filterwarnings('always', '.*synchronizing CUDA')
            warnings.showwarning = cast(Any, show)
            torch.cuda.set_sync_debug_mode('warn')
            stack.callback(torch.cuda.set_sync_debug_mode, 'default')
        yield


def _counted(function: Callable, places: Counter[str], counts: Callable[[], bool]) -> Callable:
    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        # optimizers read their step numbers, which are never on a GPU
        if not counts() or frame.f_code.co_filename.startswith(OPTIMIZERS):
            return function(*args, **kwargs)
        while '/torch/' in frame.f_code.co_filename and frame.f_back:
            frame = frame.f_back
        places[_short(frame.f_code.co_filename, frame.f_lineno)] += 1
        return function(*args, **kwargs)
    return counted


def _short(file: str, line: int) -> str:
    return f'{"/".join(Path(file).parts[-2:])}:{line}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_train_options(parser)
    parser.add_argument('--clock', choices=('wall', 'thread'), default='wall',
                        help="'thread' is the CPU time of the training thread, which does not "
                        'contain waiting, for a machine shared with others')
    parser.add_argument('--profile', action='store_true', help=f'profile {PROFILED} other steps')


def run(args: argparse.Namespace) -> None:
    if args.launcher != 'none':
        raise InputError('One process is measured: start it without a launcher.')
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = args.work_dir or folder
        runner = build_tool_runner(read_train_config(args))
        choose_start(runner)
        watch = LoopWatch(args.clock, PROFILED * args.profile)
        seconds = watch.train(runner)
    print_machine('mmengine')
    if watch.profiler is not None:
        device = next(runner.model.parameters()).device
        found = operations(watch.profiler, device, PROFILED)
        print(f'a step keeps the device busy for {sum(row[2] for row in found):.1f} ms')
        print_operations(found, device)
    total, steps = sum(seconds.values()), watch.steps
    pairs = runner.train_dataloader.batch_size
    print(f'{steps} steps of {pairs} samples, {watch.epochs} ends of epochs and {watch.saves} '
          f'checkpoints in {total:.1f} s: {pairs * steps / total:.4g} samples/s')
    parts = [*STEP, WAITING, EPOCH_END]
    hooks = sorted(seconds.keys() - {*parts, *OTHERS},
                   key=lambda name: -seconds[name])
    print_table(['part', 's', 'ms/step', 'share'], [
        [name, f'{seconds[name]:.2f}', f'{1e3 * seconds[name] / steps:.3f}',
         f'{seconds[name] / total:.2%}']
        for name in (*parts, *hooks, *OTHERS) if name in seconds])
    outside = sum(seconds[name] for name in (*hooks, ITERATION) if 'per epoch' not in name)
    print(f'hooks and the rest of a step: {1e3 * outside / steps:.2f} ms per step')
    print(f'{"waits for" if torch.cuda.is_available() else "possible reads from"} the GPU per '
          f'step: {sum(watch.reads.values()) / steps:.2f}')
    print_table(['place', 'per step'], [[place, f'{count / steps:.2f}']
                                        for place, count in watch.reads.most_common(10) if count])
