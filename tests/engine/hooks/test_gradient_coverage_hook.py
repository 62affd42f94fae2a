"""GradientCoverageHook: a backbone of which a part gets no gradient stops the run."""
import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn

from tests.helpers.distributed import run_distributed
from tests.helpers.models import tiny_config
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_runner
from vicmae_mm.engine.hooks import FiniteLossHook, GradientCoverageHook
from vicmae_mm.registry import MODELS

WIDTH = 4


class Stages(nn.Module):
    """Two stages, with a norm for each output, as in Swin; only the last output is pooled."""

    def __init__(self, out_indices: tuple[int, ...] = (0, 1), detached: bool = False) -> None:
        super().__init__()
        self.out_indices, self.detached = out_indices, detached
        self.stages = nn.ModuleList([nn.Linear(3, WIDTH), nn.Linear(WIDTH, WIDTH)])
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.bn = nn.BatchNorm1d(3)
        self.calls = 0

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Vectors (N, C) of the stages in ``out_indices``."""
        self.calls += 1
        x, outs = self.bn(x.mean(dim=(2, 3))), []
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(x)
            outs += [norm(x)] if index in self.out_indices else []
        return tuple(each.detach() if self.detached else each for each in outs)


class LayerDrop(Stages):
    """Runs its second stage in every third pass only."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Vectors (N, C)."""
        self.calls += 1
        x = self.stages[0](self.bn(x.mean(dim=(2, 3))))
        x = self.stages[1](x) if self.calls % 3 == 0 else x
        return (self.norms[1](self.norms[0](x)), )


def contrast(backbone: type[nn.Module] = Stages, **kwargs: Any) -> dict:
    return dict(
        type='vicmae_mm.ViCMAE', backbone=dict(type=backbone, **kwargs), contrast_weight=1.0,
        projector=dict(type='vicmae_mm.Projector', in_channels=WIDTH),
        contrast_head=dict(type='vicmae_mm.InfoNCEHead'), data_preprocessor=PREPROCESSOR)


def run(folder: Path, model: Any, steps: int = 4, **kwargs: Any) -> tuple[Any, Any]:
    hook = GradientCoverageHook()
    runner = tiny_runner(folder, [hook], dataset=FixedPairs(), model=model, epochs=steps // 2,
                         **kwargs)
    runner.train()
    assert not hook._handles and hook._batch is None and not hook._pending
    return runner, hook


def log(folder: Path) -> str:
    return next(folder.rglob('*.log')).read_text()


def test_layers_that_are_dropped_at_times_are_waited_for(tmp_path):
    runner, hook = run(tmp_path, contrast(LayerDrop))
    assert runner.model.backbone.calls == 4 and hook._steps == 3
    assert 'no effect' not in log(tmp_path)


def test_ignored_outputs_stop_the_run_and_are_named(tmp_path):
    with pytest.raises(ValueError, match=(
            r'2 of the 10 trainable parameters of Stages got no gradient in 3 steps.*: '
            r'norms\.0\.weight, norms\.0\.bias\.')):
        run(tmp_path, contrast())


def test_a_run_of_fewer_steps_is_left_alone(tmp_path):
    runner, _ = run(tmp_path, contrast(), steps=2)
    assert runner.iter == 2


def test_parameters_without_effect_are_named_in_a_warning(tmp_path):
    runner, _ = run(tmp_path, contrast(out_indices=(1, )))  # norms.0 leads to no output
    assert runner.iter == 4 and runner.model.backbone.calls == 5
    assert '2 of the 10 trainable parameters of the backbone have no effect' in log(tmp_path)
    assert 'norms.0.weight, norms.0.bias.' in log(tmp_path)


def test_looking_for_the_reason_changes_nothing(tmp_path):
    states = []
    for name, hooks in dict(plain=[], watched=[GradientCoverageHook()]).items():
        torch.manual_seed(0)
        runner = tiny_runner(tmp_path / name, hooks, dataset=FixedPairs(),
                             model=contrast(out_indices=(1, )))
        runner.train()
        states.append(runner.model.state_dict())
    for key, value in states[0].items():  # with BatchNorm's statistics
        assert torch.equal(value, states[1][key]), key


def test_a_backbone_without_any_gradient_stops_the_run(tmp_path):
    with pytest.raises(ValueError, match=r'10 of the 10 .* stages\.0\.weight'):
        run(tmp_path, contrast(detached=True))


class Overflow(Hook):
    """Makes the gradients of the first three steps infinite."""

    def before_train(self, runner: Any) -> None:
        """Install the overflow."""
        for parameter in runner.model.parameters():
            parameter.register_hook(
                lambda gradient: gradient * math.inf if runner.iter < 3 else gradient)


def test_skipped_steps_do_not_count(tmp_path):
    hook = GradientCoverageHook()
    hooks = [Overflow(), FiniteLossHook(max_skipped=3), hook]
    runner = tiny_runner(tmp_path, hooks, dataset=FixedPairs(), model=contrast(LayerDrop),
                         epochs=4, optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)))
    runner.train()
    assert runner.message_hub.get_info('skipped_batches') == 3
    assert runner.iter == 8 and hook._steps == 3


def test_frozen_parameters_need_no_gradient(tmp_path):
    runner = tiny_runner(tmp_path, [GradientCoverageHook()], dataset=FixedPairs(),
                         model=contrast())
    runner.model.backbone.norms[0].requires_grad_(False)
    runner.train()
    assert runner.iter == 4


def test_gradients_of_accumulated_batches_count_together(tmp_path):
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3)
    _, hook = run(tmp_path, contrast(LayerDrop), steps=6, optim_wrapper=optim_wrapper)
    assert hook._steps == 1  # the second stage was run once in three batches


@pytest.mark.parametrize('overrides', [
    dict(contrast_weight=0.0),  # as before the contrast begins: the projector has no gradient
    dict(pooling=None, projector=None, contrast_head=None),  # MAE
    dict(pooling=dict(mode='cls'), decoder_chunks=2, recon_frames='first')])
def test_masked_encoders_have_all_gradients(overrides, tmp_path):
    model = tiny_config(data_preprocessor=PREPROCESSOR, **overrides)
    _, hook = run(tmp_path, model, steps=2)
    assert hook._steps == 1


def test_a_watched_run_can_be_copied_and_started_again(tmp_path):
    hook = GradientCoverageHook()
    runner = tiny_runner(tmp_path, [hook], dataset=FixedPairs())
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    hook.before_train(runner)
    hook.before_train(runner)
    assert len(hook._handles) == 1
    copy.deepcopy(runner.model)


def train_in_processes(folder: str) -> list[str]:
    messages = []
    for name, model in dict(ignored=contrast(), trains=contrast(LayerDrop)).items():
        wrapped = MMDistributedDataParallel(MODELS.build(model), find_unused_parameters=True)
        try:
            run(Path(folder) / name, wrapped, steps=8)  # 4 on two processes
        except ValueError as error:
            messages.append(str(error))
        else:
            messages.append('')
    return messages


def test_every_process_stops(tmp_path):
    (first, passed), second = run_distributed(train_in_processes, 2, str(tmp_path))
    assert 'norms.0.weight, norms.0.bias' in first and not passed
    assert [first, passed] == second
