"""SampleIndependenceHook: a backbone that mixes the samples of a batch is refused."""
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.models import tiny_config
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_runner
from vicmae_mm.engine.hooks import SampleIndependenceHook
from vicmae_mm.engine.hooks.sample_independence_hook import neighbour_effect
from vicmae_mm.utils.seeding import get_rng_states

HOOK = dict(type='vicmae_mm.SampleIndependenceHook')


class Mixer(nn.Module):
    """Adds a share of another sample's features to those of each sample."""

    def __init__(self, shift: int = 1, share: float = 0.05) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
        self.shift, self.share = shift, share

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Vectors (N, 4)."""
        x = self.layers(x.mean(dim=(2, 3)))
        return (x + self.share * x.roll(self.shift, 0) if self.share else x, )


def contrast(**kwargs: Any) -> dict:
    return dict(
        type='vicmae_mm.ViCMAE', backbone=dict(type=Mixer, **kwargs), contrast_weight=1.0,
        contrast_head=dict(type='vicmae_mm.InfoNCEHead'), data_preprocessor=PREPROCESSOR)


@pytest.mark.parametrize('shift', [1, -1, 3])
def test_mixing_is_refused_before_the_first_step(shift, tmp_path):
    runner = tiny_runner(tmp_path, [HOOK], dataset=FixedPairs(), model=contrast(shift=shift))
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    with pytest.raises(ValueError, match=r'Mixer mixes the samples of a batch: .* by \d+\.\d%'):
        runner.train()
    assert all(torch.equal(value, before[key]) for key, value in runner.model.state_dict().items())


@pytest.mark.parametrize('model', [contrast(share=0.), tiny_config(data_preprocessor=PREPROCESSOR)],
                         ids=['BatchNorm', 'random masks'])
def test_a_run_is_the_same_with_the_hook(model, tmp_path):
    """BatchNorm's statistics, dropout, masks and the order of samples: nothing has changed."""
    states = []
    for name, hooks in dict(plain=[], checked=[HOOK]).items():
        torch.manual_seed(0)
        runner = tiny_runner(tmp_path / name, hooks, dataset=FixedPairs(), model=model)
        runner.train()
        states.append((runner.model.state_dict(), get_rng_states()))
    (plain, generators), (checked, others) = states
    assert all(torch.equal(value, checked[key]) for key, value in plain.items())
    np.testing.assert_equal(generators[:2], others[:2])
    assert torch.equal(generators[2], others[2])


def test_effect_of_neighbours_is_a_share_of_the_features():
    backbone = Mixer(share=0.5).train()
    backbone.layers[1].eval()  # as a frozen part is
    random.seed(0)
    inputs = torch.rand(6, 3, 8, 8)
    with torch.no_grad():
        expected = Mixer.forward
        backbone.eval()
        kept = backbone(inputs)[0][3]
        others = -inputs
        others[3] = inputs[3]
        changed = expected(backbone, others)[0][3]
        backbone.train()
        backbone.layers[1].eval()
    assert neighbour_effect(backbone, inputs) == pytest.approx(
        float((kept - changed).norm() / kept.norm()), rel=1e-5)
    assert [module.training for module in backbone.modules()] == [True, True, True, False, True]
    assert neighbour_effect(Mixer(share=0.), inputs) == 0


def test_outputs_of_any_nesting_are_compared():
    class Nested(Mixer):
        def forward(self, x: Tensor) -> Any:
            clean = x.mean(dim=(2, 3))
            return dict(a=[clean, torch.arange(3)], b=(clean, None, super().forward(x)[0]))

    assert neighbour_effect(Nested(), torch.rand(4, 3, 8, 8)) > 0.01
    assert neighbour_effect(Nested(share=0.), torch.rand(4, 3, 8, 8)) == 0


def test_a_backbone_that_cannot_encode_the_views_is_named(tmp_path):
    runner = tiny_runner(tmp_path, [HOOK], dataset=FixedPairs(), model=dict(
        contrast(), backbone=dict(type=nn.Conv3d, in_channels=3, out_channels=4, kernel_size=3)))
    with pytest.raises(ValueError, match=r'Conv3d cannot encode the views of the data, \(8, 3, '
                                         r'32, 32\): RuntimeError'):
        runner.train()


def test_only_the_first_batch_is_checked(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr('vicmae_mm.engine.hooks.sample_independence_hook.neighbour_effect',
                        lambda backbone, inputs: calls.append(inputs.shape) or 0.)
    runner = tiny_runner(tmp_path, [SampleIndependenceHook()], dataset=FixedPairs(),
                         model=contrast(share=0.))
    runner.train()
    assert calls == [(8, 3, 32, 32)] and runner.iter == 4
