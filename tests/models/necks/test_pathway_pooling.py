"""Averages over the positions of every output, next to each other."""
import pytest
import torch

from vicmae_mm.models import PathwayPooling


def test_equals_the_means() -> None:
    clip, image, vector = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 7, 3, 2), torch.randn(2, 5)
    wanted = torch.cat((clip.mean((2, 3, 4)), image.mean((2, 3)), vector), dim=1)
    for given in ((clip, image, vector), [clip, (image, [vector])]):
        pooled, = PathwayPooling()(given)
        torch.testing.assert_close(pooled, wanted)
    torch.testing.assert_close(PathwayPooling()(image), image.mean((2, 3)))


def test_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r'got \(2, 5, 8\)'):
        PathwayPooling()((torch.ones(2, 5, 8), torch.ones(2, 8)))
