"""Measures how well frozen features distinguish digits that the network has never seen."""
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vicmae_mm.evaluation import encode, knn_accuracy, linear_probe_accuracy
from vicmae_mm.evaluation.images import Images
from vicmae_mm.models import Encoder

from .digit_scenes import World, draw_scene, random_pose

LEVELS = ('avg', 'cls')  # features: the mean of the patch tokens, and the class token


@dataclass(frozen=True)
class ImageSet:
    """Images (N, 3, H, W), uint8 RGB, and the digits 0 to 9 on them (N,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Accuracy:
    """Shares (0 to 1) of test images classified correctly from one kind of features."""

    linear: float
    knn: float


def draw_images(world: World, per_digit: int, size: int, seed: int) -> ImageSet:
    """Draw each digit of a world ``per_digit`` times, in random poses, as images of side ``size``.

    The seed determines the poses.
    """
    rng = np.random.default_rng(seed)
    numbers = np.tile(np.arange(len(world.labels)), per_digit)
    # Drawn at the size of the clips and then reduced, as the training pipeline does.
    images = np.stack([
        cv2.resize(draw_scene(world, number, random_pose(rng)), (size, size),
                   interpolation=cv2.INTER_AREA) for number in numbers
    ])
    return ImageSet(
        torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(world.labels[numbers]))


def as_labelled(part: ImageSet) -> Images:
    """The same for :class:`ProbeHook`."""
    return Images([dict(img=image.permute(1, 2, 0).numpy()) for image in part.images], part.labels,
                  tuple(part.images.shape[2:]))


def measure(encoder: Encoder, train: ImageSet, test: ImageSet) -> dict[str, Accuracy]:
    """Train a linear probe and a kNN classifier on ``train``, score them on ``test``.

    Returns:
        The accuracies for each of :data:`LEVELS`.
    """
    accuracies = {}
    for level in LEVELS:
        train_features, features = (encode(encoder, part.images, level) for part in (train, test))
        data = (train_features, train.labels, features, test.labels)
        accuracies[level] = Accuracy(linear_probe_accuracy(*data), knn_accuracy(*data))
    return accuracies


def majority_share(train: ImageSet, test: ImageSet) -> float:
    """Accuracy of always answering the most frequent class in training."""
    return (test.labels == train.labels.mode().values).float().mean().item()
