"""The dense score of the quickstart."""
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vicmae_mm.commands.quickstart import mask_propagation
from vicmae_mm.commands.quickstart.digit_scenes import SIDE, load_worlds
from vicmae_mm.commands.quickstart.mask_propagation import score_propagation
from vicmae_mm.models import Encoder


@pytest.fixture(scope='module')
def world():
    return load_worlds()[1]


class Brightness(nn.Module):
    """Features that tell white ink from darkened photographs."""

    def forward(self, images):
        light = F.avg_pool2d((images.amin(1, keepdim=True) > 1).float(), 4)
        return torch.cat([light, 1 - light], dim=1)


class Nothing(nn.Module):
    """The same features everywhere."""

    def forward(self, images):
        return torch.ones_like(images[:, :, ::4, ::4])


def test_an_encoder_that_sees_the_ink_finds_it_and_another_does_not(world, monkeypatch):
    monkeypatch.setattr(mask_propagation, 'NUM_FRAMES', 4)
    unmoved = score_propagation(None, world, 0, num_clips=3)
    blind = score_propagation(Encoder(Nothing()), world, 0, num_clips=3)
    seeing = score_propagation(Encoder(Brightness()), world, 0, num_clips=3)
    assert blind['J&F'] < unmoved['J&F'] < seeing['J&F'] < 1
    assert seeing == score_propagation(Encoder(Brightness()), world, 0, num_clips=3)
    assert seeing != score_propagation(Encoder(Brightness()), world, 1, num_clips=3)


def test_the_mask_is_the_ink(world, monkeypatch):
    drawn, scored = [], []
    draw, score = mask_propagation.draw_scene, mask_propagation.score_objects
    monkeypatch.setattr(mask_propagation, 'draw_scene', lambda *args: (
        drawn.append(draw(*args)), drawn[-1])[1])
    monkeypatch.setattr(mask_propagation, 'score_objects', lambda *pair: (
        scored.append(pair[0]), score(*pair))[1])
    score_propagation(Encoder(Nothing()), world, 0, num_clips=2)
    frames, masks = np.stack(drawn), np.concatenate(scored)
    assert frames.shape == (24, SIDE, SIDE, 3) and masks.shape == (24, SIDE, SIDE)
    assert len(np.unique(frames, axis=0)) == 24
    assert 50 < masks.sum((1, 2)).min() and masks.sum((1, 2)).max() < SIDE**2 / 2
    # Half ink and half of a darkened photograph, of at most half the light.
    assert frames[masks == 1].min() >= 127 > frames[masks == 0].mean()
