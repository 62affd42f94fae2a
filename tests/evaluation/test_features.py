"""Frozen features of images."""
import pytest
import torch

from tests.helpers.models import IMG_SIZE, WIDTH, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from vicmae_mm.evaluation import extract_features


@pytest.fixture
def model():
    return tiny_vicmae(data_preprocessor=PREPROCESSOR).train()


@pytest.fixture
def images():
    return torch.randint(256, (5, 3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)


def test_features_are_the_mean_of_all_normalised_patch_tokens(model, images):
    features = extract_features(model, images)
    assert features.shape == (5, WIDTH) and not features.requires_grad
    mean, std = (torch.tensor(PREPROCESSOR[key]).view(3, 1, 1) for key in ('mean', 'std'))
    # an independent way to all tokens: the masked encoder with nothing masked
    model.backbone.mask_ratio = 0.0
    tokens, mask, _ = model.backbone((images - mean) / std)
    assert mask.sum() == 0
    torch.testing.assert_close(features, tokens[:, 1:].mean(1).detach())


def test_pooling_chooses_the_feature(model, images):
    cls = extract_features(model, images, pooling='cls')
    assert cls.shape == (5, WIDTH)
    assert not torch.allclose(cls, extract_features(model, images, pooling='mean'))
    with pytest.raises(ValueError, match='median'):
        extract_features(model, images, pooling='median')


def test_batches_do_not_matter_and_the_model_is_left_in_eval_mode(model, images):
    torch.testing.assert_close(
        extract_features(model, images, batch_size=2), extract_features(model, images))
    assert not model.training
