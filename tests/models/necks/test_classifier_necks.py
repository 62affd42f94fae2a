"""Our poolings and the projector as necks of mmpretrain's classifiers."""
import sys
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models import TIMMBackbone, VisionTransformer
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH

POOLING = dict(type='vicmae_mm.TokenPooling')
GEM = dict(POOLING, mode='gem')
PROJECTOR = dict(type='vicmae_mm.Projector', in_channels=WIDTH)
VIT = dict(type='mmpretrain.VisionTransformer', arch=TINY_ARCH, img_size=IMG_SIZE,
           patch_size=PATCH, out_type='raw')
NECKS = dict(mean=POOLING, max=dict(POOLING, mode='max'), gem=GEM, cls=dict(POOLING, mode='cls'),
             projector=[POOLING, PROJECTOR])


class TimmViT(nn.Module):
    """What timm's ViTs with registers give once their classifier is reset: all their tokens."""

    num_prefix_tokens, num_features = 5, WIDTH

    def __init__(self, **kwargs: object) -> None:
        super().__init__()
        self.vit = VisionTransformer(TINY_ARCH, IMG_SIZE, PATCH, out_type='raw')
        self.reg_token = nn.Parameter(torch.randn(1, 4, WIDTH))

    def reset_classifier(self, num_classes: int, pooling: str) -> None:
        """Nothing to reset."""

    def forward(self, images: Tensor) -> Tensor:
        """Class token, registers and patches (B, 5 + N, C)."""
        tokens, = self.vit(images)
        registers = self.reg_token.expand(len(images), -1, -1)
        return torch.cat((tokens[:, :1], registers, tokens[:, 1:]), dim=1)


def train_step(model: nn.Module) -> None:
    """One step of SGD, after which every parameter has moved that may."""
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 1)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = model.loss(torch.randn(4, 3, IMG_SIZE, IMG_SIZE), samples)['loss']
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    still = [name for name, p in model.named_parameters()
             if p.requires_grad and torch.equal(before[name], p)]
    assert not still


def classifier(backbone: dict, neck: object, width: int, **settings: object) -> nn.Module:
    model = MODELS.build(dict(
        type='mmpretrain.ImageClassifier', backbone=backbone, neck=neck, head=dict(
            type='mmpretrain.LinearClsHead', num_classes=3, in_channels=width), **settings))
    model.init_weights()
    return model


@pytest.mark.parametrize('name', NECKS)
def test_after_the_raw_tokens_of_a_vit(name):
    frozen = name in ('gem', 'cls')  # a probe
    backbone = dict(VIT, frozen_stages=TINY_ARCH['num_layers']) if frozen else VIT
    width = 2 * WIDTH if name == 'projector' else WIDTH
    model = classifier(backbone, NECKS[name], width)
    if frozen:
        for parameter in model.backbone.parameters():
            parameter.requires_grad_(False)
        model.backbone.eval()
    elif name != 'projector':
        # the class token reaches the patches by attention, and the last layer's output of it not
        assert isinstance(model.extract_feat(torch.randn(2, 3, IMG_SIZE, IMG_SIZE)), tuple)
    train_step(model)


def test_gem_probe_learns_its_exponent():
    model = classifier(dict(VIT, frozen_stages=TINY_ARCH['num_layers']), GEM, WIDTH)
    model.backbone.requires_grad_(False)
    images = torch.randn(4, 3, IMG_SIZE, IMG_SIZE)
    tokens, = model.backbone(images)
    pooled, = model.extract_feat(images)
    torch.testing.assert_close(
        pooled, tokens[:, 1:].clamp(min=1e-6).pow(3).mean(dim=1).pow(1 / 3))
    train_step(model)
    assert model.neck.p.item() != 3


@pytest.mark.parametrize('mode', ['mean', 'gem'])
def test_after_a_vit_of_timm(mode, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', SimpleNamespace(create_model=TimmViT))
    build = TIMMBackbone.__init__
    build = getattr(build, '__wrapped__', build)  # a missing package makes it an error
    monkeypatch.setattr(TIMMBackbone, '__init__', build)
    backbone = dict(type='mmpretrain.TIMMBackbone', model_name='vit')
    model = classifier(backbone, dict(POOLING, mode=mode, num_extra_tokens=5), WIDTH)
    tokens, = model.backbone(images := torch.randn(2, 3, IMG_SIZE, IMG_SIZE))
    if mode == 'mean':
        torch.testing.assert_close(model.extract_feat(images)[0], tokens[:, 5:].mean(dim=1))
    model.backbone.timm_model.reg_token.requires_grad_(False)  # its own tokens, not of the patches
    train_step(model)
