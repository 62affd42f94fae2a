"""Measuring on held-out digits."""
import numpy as np
import pytest
import torch

from tests.helpers.models import IMG_SIZE, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from vicmae_mm.commands.quickstart.digit_scenes import GLYPH, SIDE, World, load_worlds
from vicmae_mm.commands.quickstart.measuring import ImageSet, draw_images, majority_share, measure
from vicmae_mm.models import Encoder


@pytest.fixture(scope='module')
def world():
    full = load_worlds()[0]
    return World(full.glyphs[:12], full.labels[:12], full.photo)


def test_every_digit_is_drawn_as_often_as_asked(world):
    drawn = draw_images(world, 3, IMG_SIZE, seed=0)
    assert drawn.images.shape == (36, 3, IMG_SIZE, IMG_SIZE) and drawn.images.dtype == torch.uint8
    assert drawn.labels.bincount().equal(3 * torch.from_numpy(np.bincount(world.labels)))
    assert len(drawn.images.unique(dim=0)) == 36
    assert drawn.images.equal(draw_images(world, 3, IMG_SIZE, seed=0).images)
    assert not drawn.images.equal(draw_images(world, 3, IMG_SIZE, seed=1).images)


def test_the_label_is_that_of_the_digit_in_the_image():
    greys = np.arange(10, dtype=np.float32) / 10
    flat = World(
        np.broadcast_to(greys[:, None, None], (10, GLYPH, GLYPH)), np.arange(10),
        np.zeros((200, 200, 3), np.uint8))
    drawn = draw_images(flat, 2, SIDE, seed=0)
    middle = drawn.images[:, 0, SIDE // 2, SIDE // 2] / 255
    torch.testing.assert_close(middle, drawn.labels / 10, atol=0.01, rtol=0)


def test_training_images_are_recognised_perfectly_by_their_features(world):
    encoder = Encoder.of(tiny_vicmae(data_preprocessor=PREPROCESSOR))
    train = draw_images(world, 1, IMG_SIZE, seed=0)
    many = ImageSet(train.images.repeat(30, 1, 1, 1), train.labels.repeat(30))
    accuracy = measure(encoder, many, train)
    assert accuracy.keys() == {'avg', 'cls'}
    assert all(part.knn == 1 and part.linear > 0.6 for part in accuracy.values())
    strangers = ImageSet(train.images, (train.labels + 1) % 10)
    assert measure(encoder, many, strangers)['avg'].knn == 0


def test_majority_share_is_that_of_the_most_frequent_training_class():
    train = ImageSet(torch.empty(4), torch.tensor([2, 2, 1, 0]))
    test = ImageSet(torch.empty(4), torch.tensor([2, 0, 0, 0]))
    assert majority_share(train, test) == 0.25
