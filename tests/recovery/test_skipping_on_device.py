"""Steps that the device skips and the host reads about later: the same files, words and weights.

Each run is compared with one that reads about every step at once, as other optimizers need it.
"""
import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import digit_version

from benchmarks.loop import count_reads
from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from tests.recovery.test_finite_loss import Poison, one_of_two, state
from tests.recovery.test_finite_weights import Overflow
from vicmae_mm.engine.hooks import FiniteLossHook, NonFiniteLossError
from vicmae_mm.engine.runner_access import unwrapped_model

pytestmark = pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.4.0'),
                                reason='fused optimizers on CPUs need torch 2.4')
NAN, INF = float('nan'), float('inf')
FUSED = dict(constructor='vicmae_mm.FusedOptimWrapperConstructor',
             optimizer=dict(type='AdamW', lr=1e-2, weight_decay=.1))
MEANS = [dict(data_src=name, method_name='mean', window_size=4)
         for name in ('recon', 'contrast', 'embedding_std')]


class ReadsAtOnce(FiniteLossHook):
    """The hook as it is for optimizers that cannot skip a step on the device."""

    def before_train(self, runner: Runner) -> None:
        """Forget that the optimizer is fused."""
        super().before_train(runner)
        self._fused = False


class LossOf(Hook):
    """Losses that other hooks see, and which steps were read about late."""

    def __init__(self, finite_loss: FiniteLossHook) -> None:
        self.finite_loss = finite_loss
        self.seen: list[float | None] = []
        self.late = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Keep the loss."""
        self.seen.append(float(outputs['loss']) if outputs else None)
        self.late += self.finite_loss._pending is not None


def train(folder: Path, kind: type, bad: Hook, max_skipped: int, *hooks: Any, epochs: int = 2,
          interval: int = 3, **settings: Any) -> dict[str, Any]:
    """Train 8 iterations per epoch; what the run has left, in memory and in files."""
    hook = kind(max_skipped)
    seen = LossOf(hook)
    settings = {**dict(train_dataloader=dict(
        batch_size=4, num_workers=0, dataset=FixedPairs(32),
        sampler=dict(type='vicmae_mm.EpochSampler'),
        collate_fn=dict(type='default_collate'))), **settings}
    runner = tiny_runner(
        folder, [bad, hook, seen, dict(type='vicmae_mm.StepSeedHook'), *hooks],
        optim_wrapper=dict(FUSED), epochs=epochs,
        log_processor=dict(type='vicmae_mm.GlobalLogProcessor', window_size=4, custom_cfg=MEANS),
        default_hooks=dict(
            checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1, mid_epoch_interval=5),
            logger=dict(type='LoggerHook', interval=interval)), **settings)
    left: dict[str, Any] = dict(message='')
    try:
        runner.train()
    except NonFiniteLossError as error:
        left['message'] = str(error).replace(str(folder), '')
    report = folder / FiniteLossHook.FILENAME
    left['report'] = report.read_text() if report.exists() else ''
    left['log'] = [line.partition(' - mmengine - ')[2].replace(str(folder), '')
                   for line in next(folder.rglob('*.log')).read_text().splitlines()
                   if 'skipped: ' in line]
    left['scalars'] = [
        {key: value for key, value in json.loads(line).items()
         if 'time' not in key and 'per_second' not in key}
        for path in folder.rglob('scalars.json') for line in path.read_text().splitlines()]
    left['state'] = state(runner)
    left['saved'] = {path.name: saved(path) for path in sorted(folder.glob('*.pth'))}
    left['late'] = seen.late
    return left


def saved(path: Path) -> dict[str, Any]:
    """What a checkpoint contains, without times."""
    checkpoint = torch.load(path)
    hub = checkpoint['message_hub']
    return dict(
        model=checkpoint['state_dict'], average=checkpoint.get('ema_state_dict', {}),
        optimizer=dict(enumerate(checkpoint['optimizer']['state'].values())),
        scalars={key: torch.from_numpy(value.data[0].copy()) for key, value in
                 hub['log_scalars'].items() if 'time' not in key},
        skipped=hub['runtime_info'].get('skipped_batches', 0), order=[*hub['log_scalars']])


def assert_same(a: Any, b: Any) -> None:
    """Compare to the last bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif torch.is_tensor(a):
        assert a.dtype == b.dtype and torch.equal(a, b)
    else:
        assert a == b


def compare(folder: Path, bad: Hook, max_skipped: int, *hooks: Any) -> dict:
    """Both ways; returns what the late one has left."""
    late, at_once = (train(folder / kind.__name__, kind, copy.deepcopy(bad), max_skipped, *hooks)
                     for kind in (FiniteLossHook, ReadsAtOnce))
    assert late.pop('late') and not at_once.pop('late')
    assert_same(late, at_once)
    return late


# Of 8 iterations per epoch, those after 3, 6 and 8 are logged, and 5, 8, 13 and 16 saved.
@pytest.mark.parametrize('max_skipped, iters, bad', [
    (0, [3], Poison('head', NAN, [3])), (0, [4], Poison('contrast_head', INF, [4])),
    (0, [7], Overflow([7])), (0, [9], Overflow([9], NAN)),
    (3, [0, 3, 4], Poison('head', -INF, [0, 3, 4])), (3, [6, 7, 15], Overflow([6, 7, 15]))])
def test_files_words_and_weights(max_skipped, iters, bad, tmp_path):
    left = compare(tmp_path, bad, max_skipped, *[dict(type='EMAHook')] * (max_skipped > 0))
    assert bool(left['message']) == (not max_skipped)
    assert len(left['log']) == (len(iters) if max_skipped else 0)
    first = json.loads(left['report'].splitlines()[0])
    assert first['iter'] == iters[0] + 1 and len(first['samples']) == 4


def test_the_last_skip_and_what_follows_it(tmp_path):
    """The step after the one that stops the run is not taken either."""
    left = compare(tmp_path, Poison('contrast_head', INF, [1, 3, 4]), 1)
    assert 'iteration 4 (epoch 1): rank 0: loss_contrast is inf' in left['message']
    assert 'Batches skipped before: 1.' in left['message']
    assert int(max(value for key, value in left['state'].items() if key.endswith('.step'))) == 2


def test_clipped_gradients(tmp_path):
    class Clip(Hook):
        """Clipping, and the norm that is logged."""

        def before_train(self, runner: Runner) -> None:
            """Switch it on."""
            wrapper = runner.optim_wrapper
            wrapper.clip_grad_kwargs = dict(max_norm=1.)
            wrapper.clip_func, wrapper.grad_name = torch.nn.utils.clip_grad_norm_, 'grad_norm'

    left = compare(tmp_path, Poison('head', NAN, [4]), 3, Clip())
    assert all(record['grad_norm'] > 0 for record in left['scalars'])
    assert len(left['scalars']) == 4 and len(left['saved']) == 2


class Reads(Hook):
    """Count what makes a GPU and Python wait for each other, between lines of the log."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.per_step: list[int] = []
        self.places: Counter[str] = Counter()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.per_step.append(sum(self.places.values()) - sum(self.per_step))


@pytest.mark.parametrize('clip', [False, True])
def test_at_most_one_read_per_step(clip, tmp_path):
    reads = Reads()
    runner = tiny_runner(
        tmp_path, [FiniteLossHook(), dict(type='vicmae_mm.CollapseHook'), reads,
                   dict(type='vicmae_mm.StepSeedHook'), dict(
                       type='vicmae_mm.ContrastWeightHook', schedule='constant')],
        epochs=1, dataset=FixedPairs(160), train_dataloader=dict(
            batch_size=8, num_workers=0, dataset=FixedPairs(160),
            sampler=dict(type='vicmae_mm.EpochSampler'),
            collate_fn=dict(type='default_collate')),
        default_hooks=dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook'),
                           logger=dict(type='LoggerHook', interval=10)),
        optim_wrapper=dict(FUSED, clip_grad=dict(max_norm=1.) if clip else None))
    with count_reads(reads.places, lambda: True):
        runner.train()
    logged = {0, 9, 19}  # the first step, and those of lines
    steps = [count for step, count in enumerate(reads.per_step) if step not in logged]
    assert max(steps) <= 1, (reads.per_step, reads.places)
    assert torch.cuda.is_available() or sum(steps) == 16  # none in the step after a line


def two_ranks(folder: str) -> list[dict]:
    """A loss, then a gradient, that is not finite on rank 1 alone."""
    found = []
    for number, (bad, skipped) in enumerate([
            (Poison('head', NAN, [1, 4], rank=1), 3), (Overflow([1], rank=1), 1),
            (Poison('contrast_head', INF, [2], rank=1), 0)]):
        left = train(Path(folder) / str(number), FiniteLossHook, bad, skipped, epochs=4,
                     interval=9, **one_of_two())
        found.append(dict(message=left['message'], log=left['log'], late=left['late'],
                          weights=[*left['state'].values()]))
    return found


def test_ranks_stay_together(tmp_path):
    first, second = run_distributed(two_ranks, 2, str(tmp_path))
    for a, b in zip(first, second, strict=True):
        assert a['late'] and a['message'] == b['message']
        same = [torch.equal(x, y) for x, y in zip(a['weights'], b['weights'], strict=True)]
        assert all(same) and all(x.isfinite().all() for x in a['weights'])
    assert 'iteration 3 (epoch 2): rank 1: loss_contrast is inf' in first[2]['message']
    assert [len(run['log']) for run in first] == [2, 1, 0]


def test_buffers_are_restored(tmp_path):
    class Replaced(Hook):
        """A buffer that each forward pass replaces, as the centre of DINO."""

        def before_run(self, runner: Runner) -> None:
            """Register it, and one that cannot be written to."""
            model = unwrapped_model(runner)
            model.register_buffer('centre', torch.zeros(3))
            model.register_buffer('table', torch.arange(3).expand(2, 3), persistent=False)

        def before_train(self, runner: Runner) -> None:
            """Replace it."""
            model = unwrapped_model(runner)
            model.register_forward_pre_hook(
                lambda module, args: setattr(module, 'centre', module.centre + runner.iter))

    left = compare(tmp_path, Poison('head', NAN, [4]), 1, Replaced())
    assert left['state']['centre'].tolist() == [sum(range(16)) - 4] * 3


def test_a_model_that_may_step_twice_is_read_at_once(tmp_path):
    class Twice(Hook):
        """Repeat the forward pass and the step."""

        def before_run(self, runner: Runner) -> None:
            """Wrap both."""
            once = runner.model.train_step
            runner.model.train_step = lambda *args, **kwargs: (
                once(*args, **kwargs), once(*args, **kwargs))[1]

    left = train(tmp_path, FiniteLossHook, Poison('head', NAN, [3]), 0, Twice())
    assert not left['late'] and 'iteration 4 (epoch 1): rank 0: loss_recon' in left['message']
    assert max(value for key, value in left['state'].items() if key.endswith('.step')) == 6
