"""Features with and without classes in them: (train, labels, test, labels)."""
import torch
from torch import Tensor

NUM_CLASSES = 10

Data = tuple[Tensor, Tensor, Tensor, Tensor]


def separable() -> Data:
    """Classes that are far apart, off the origin and on very different scales."""
    scale = 10.0**torch.arange(-2, 2).repeat(3)
    centres = torch.randn(NUM_CLASSES, 12)
    labels = torch.arange(200) % NUM_CLASSES
    train, test = (
        scale * (centres[labels] + 0.01 * torch.randn(200, 12)) + 0.5 for _ in range(2))
    return train, labels, test, labels


def noise() -> Data:
    """Features that say nothing about the class."""
    train, test = torch.randn(2, 1000, 12)
    return train, torch.arange(1000) % NUM_CLASSES, test, torch.randint(NUM_CLASSES, (1000, ))
