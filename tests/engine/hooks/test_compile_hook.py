"""Compiling by config: the same losses, one graph each for encoder and decoder."""
import copy
import pickle
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from tests.helpers.distributed import run_distributed
from tests.helpers.models import tiny_vicmae
from tests.helpers.runs import tiny_runner
from vicmae_mm.registry import HOOKS

pytest.importorskip('torch', minversion='2.5')


def losses(model: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    frames = torch.randn(4, 3, 32, 32)
    return model.loss([frames, frames.flip(-1)])


def compile_model(model: nn.Module) -> None:
    """As the hook does, and with graphs counted from here on."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    runner = SimpleNamespace(model=model, logger=MMLogger.get_instance('test'))
    HOOKS.build(dict(type='vicmae_mm.CompileHook', backend='eager')).before_train(runner)


def num_graphs() -> int:
    return torch._dynamo.utils.counters['stats']['unique_graphs']


@pytest.mark.parametrize('overrides, graphs', [
    ({}, 2),
    (dict(contrast_head=None, pooling=None, projector=None), 2),
    (dict(decoder=None, head=None), 1),
])
def test_losses_stay_and_names_too(overrides, graphs):
    model = tiny_vicmae(**overrides)
    want, keys = losses(model), list(model.state_dict())
    compile_model(model)
    got = losses(model)
    losses(model)
    assert num_graphs() == graphs
    assert list(model.state_dict()) == keys
    for name in want:
        torch.testing.assert_close(got[name], want[name])


def test_pictures_are_not_compiled():
    model = tiny_vicmae()
    compile_model(model)
    losses(model)
    model.eval()
    with torch.no_grad():
        model.backbone(torch.randn(3, 3, 32, 32))
    model.train()
    losses(model)
    assert num_graphs() == 2


@pytest.mark.parametrize('duplicate', [
    copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_computes_with_its_own_weights(duplicate):
    model = tiny_vicmae()
    before = losses(model)
    compile_model(model)
    losses(model)
    other = duplicate(model)
    nn.init.zeros_(other.backbone.layers[1].attn.proj.weight)
    nn.init.zeros_(other.neck.decoder_pred.weight)
    want = tiny_vicmae()
    want.load_state_dict(other.state_dict())
    expected = losses(want)
    assert expected['recon'] != before['recon'] and expected['contrast'] != before['contrast']
    for name, value in losses(other).items():
        torch.testing.assert_close(value, expected[name])
    for name, value in losses(model).items():
        torch.testing.assert_close(value, before[name])


def test_other_backbones_are_compiled_too():
    model = tiny_vicmae(
        backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18, norm_eval=True),
        decoder=None, head=None, projector=None,
        pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'))
    compile_model(model)
    losses(model)
    assert num_graphs() >= 1


def test_a_torch_that_is_too_old(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.4.1+cu121')
    with pytest.raises(ImportError, match=r'2\.4\.1\+cu121 cannot trace'):
        HOOKS.build(dict(type='vicmae_mm.CompileHook'))


class GraphsHook(Hook):
    """Count the graphs after each step."""

    def __init__(self) -> None:
        self.graphs: list[int] = []

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Count."""
        self.graphs.append(num_graphs())


def _train(compiled: bool) -> dict:
    """Four epochs over two processes, contrast in the last three, with the hooks of a real run."""
    torch._dynamo.utils.counters.clear()
    counter = GraphsHook()
    hooks = [
        counter, dict(type='vicmae_mm.StepSeedHook'), dict(type='vicmae_mm.FiniteLossHook'),
        dict(type='vicmae_mm.ContrastWeightHook'), dict(type='EMAHook'),
        dict(type='vicmae_mm.ReconstructionHook', num_samples=1),
        dict(type='vicmae_mm.PackedAttentionHook')]
    if compiled:
        hooks.append(dict(type='vicmae_mm.CompileHook', backend='aot_eager'))
    with tempfile.TemporaryDirectory() as folder:
        runner = tiny_runner(
            Path(folder), hooks, epochs=4, launcher='pytorch',
            cfg=dict(find_unused_parameters=True),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)))
        runner.train()
    weights = {name: p.detach() for name, p in runner.model.module.named_parameters()}
    return dict(weights=weights, graphs=counter.graphs)


def _train_in_both_ways() -> list[dict]:
    return [_train(compiled) for compiled in (False, True)]


def test_a_run_of_two_processes_compiles_in_the_first_step_alone():
    (plain, first), (_, second) = run_distributed(_train_in_both_ways, 2)
    assert first['graphs'] == second['graphs'] == [2] * 4
    assert plain['graphs'] == [0] * 4
    for name, weight in plain['weights'].items():
        torch.testing.assert_close(first['weights'][name], weight, rtol=0, atol=1e-5)
        assert torch.equal(first['weights'][name], second['weights'][name])
