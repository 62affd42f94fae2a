"""Frozen features of images."""
import pytest
import torch
from torch.utils.data import Dataset

from tests.helpers.models import IMG_SIZE, PATCH, WIDTH, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from vicmae_mm.evaluation import encode
from vicmae_mm.models import Encoder

NUM_PATCHES = (IMG_SIZE // PATCH)**2


@pytest.fixture
def model():
    return tiny_vicmae(data_preprocessor=PREPROCESSOR).train()


@pytest.fixture
def encoder(model):
    return Encoder.of(model)


@pytest.fixture
def images():
    return torch.randint(256, (5, 3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)


class Numbered(Dataset):
    """Images that are decoded one by one."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def test_levels_are_those_of_all_normalised_tokens(model, encoder, images):
    mean, std = (torch.tensor(PREPROCESSOR[key]).view(3, 1, 1) for key in ('mean', 'std'))
    # an independent way to all tokens: the masked encoder with nothing masked, patches in order
    model.backbone.mask_ratio = 0.0
    noise = torch.arange(NUM_PATCHES, dtype=torch.float32).expand(5, -1)
    tokens, mask, _ = model.backbone((images - mean) / std, noise=noise)
    tokens = tokens.detach()
    assert mask.sum() == 0
    for level, expected in dict(
            tokens=tokens, cls=tokens[:, 0], avg=tokens[:, 1:].mean(1)).items():
        features = encode(encoder, images, level)
        assert features.dtype == torch.float32 and not features.requires_grad
        torch.testing.assert_close(features, expected)


def test_equal_to_the_bit_to_the_models_own_preprocessing(model, encoder, images):
    model.eval()
    inputs = model.data_preprocessor(dict(inputs=[images], data_samples=None))['inputs'][0]
    tokens = model.extract_feat(inputs)[-1].detach()
    assert torch.equal(encode(encoder, images, 'tokens'), tokens)


def test_unknown_level(encoder, images):
    with pytest.raises(ValueError, match=r"level='median' is unknown: choose one of \('cls'"):
        encode(encoder, images, level='median')


def test_no_images(encoder, images):
    with pytest.raises(ValueError, match='There are no images'):
        encode(encoder, images[:0])


def test_batches_do_not_matter_and_the_encoder_is_left_in_eval_mode(model, encoder, images):
    torch.testing.assert_close(
        encode(encoder, images, batch_size=2), encode(encoder, images))
    assert not model.backbone.training


def test_dataset_workers_and_progress(encoder, images):
    done = []
    features = encode(
        encoder, Numbered(images), batch_size=2, num_workers=2, progress=done.append)
    assert torch.equal(features, encode(encoder, images, batch_size=2))
    assert done == [2, 2, 1]


def test_shape(encoder, images):
    assert encode(encoder, images).shape == (5, WIDTH)
    assert encode(encoder, images, 'tokens').shape == (5, 1 + NUM_PATCHES, WIDTH)
