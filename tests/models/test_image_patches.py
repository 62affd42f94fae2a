"""Patches by number: the same pixels as cutting up the image."""
import torch

from vicmae_mm.models.image_patches import take_patches


def test_patches_are_numbered_row_by_row():
    images = torch.rand(2, 3, 6, 12)
    ids = torch.tensor([[7, 0, 2], [5, 5, 1]])
    got = take_patches(images, ids, 3)
    assert got.shape == (2, 3, 3, 3, 3)
    for image, numbers, patches in zip(images, ids.tolist(), got, strict=True):
        for number, patch in zip(numbers, patches, strict=True):
            row, column = divmod(number, 4)
            assert torch.equal(
                patch, image[:, 3 * row:3 * row + 3, 3 * column:3 * column + 3])
