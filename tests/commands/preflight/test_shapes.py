"""Wrong shapes are found in any model; what cannot be computed without values is no error."""
import re

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.commands.preflight.shapes import build_without_values, check_loss


@MODELS.register_module()
class NeedsValues(BaseModel):
    """Needs values of tensors, when it is built and, in one of several ways, in its loss."""

    def __init__(self, way: str, width: int = 4) -> None:
        super().__init__()
        depth = int(torch.linspace(0, 2, 3)[-1].item())
        self.layers = nn.Sequential(*(nn.Linear(4, width) for _ in range(depth - 1)))
        self.way = way

    def forward(self, inputs, data_samples=None, mode='loss'):
        out = self.layers(inputs)
        if self.way == 'numpy':
            np.argsort(out.detach().numpy())
        if self.way == 'item' and out.sum().item() > 1e9:
            raise ValueError('too large')
        if self.way == 'type' and not out.detach().clone().untyped_storage().data_ptr():
            raise RuntimeError('no storage')
        return dict(loss=out.sum())


def check(model, batch, **kwargs) -> Findings:
    findings = Findings()
    check_loss(*build_without_values(model), model, batch, findings, **kwargs)
    return findings


@pytest.mark.parametrize('way, message', [
    ('', 'its loss takes batches of (4,) float32'), ('numpy', 'its metrics were not checked'),
    ('item', 'what depends on values was not checked'), ('type', 'computed on the CPU')])
def test_code_that_needs_values_is_no_error(way, message):
    found = check(dict(type='NeedsValues', way=way), dict(inputs=torch.zeros(2, 4)))
    assert not found.errors and found.notes[0].endswith(message)


def test_predictions_that_fail_without_values_are_not_said_to_work():
    note, = check(dict(type='NeedsValues', way=''), dict(inputs=torch.zeros(2, 5)),
                  is_test=True).notes
    assert note.startswith('model: takes batches of (5,) float32? Without values, it fails: Runti')


def test_an_error_of_torch_names_the_layer():
    found = check(dict(type='NeedsValues', way=''), dict(inputs=torch.zeros(2, 5)))
    assert re.match(r'model\.layers\.0: RuntimeError: .*mat1 and mat2 shapes', found.errors[0])


def classifier(**head) -> dict:
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer', arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH),
        head=dict(dict(type='LinearClsHead', num_classes=3, in_channels=WIDTH), **head))


@pytest.mark.parametrize('head, place', [({}, None), ({'in_channels': 8}, 'model.head.fc: ')])
def test_classifier(head, place):
    batch = dict(inputs=torch.zeros(2, 3, IMG_SIZE, IMG_SIZE, dtype=torch.uint8),
                 data_samples=[DataSample().set_gt_label(label) for label in (0, 2)])
    found = check(classifier(**head), batch)
    assert not found.errors if place is None else found.errors[0].startswith(place)


def test_a_model_that_cannot_be_built():
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        build_without_values(classifier(nonsense=1))
