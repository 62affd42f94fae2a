"""PackFrames gives what mmpretrain's PackInputs gives."""
import numpy as np
import pytest
import torch
from mmpretrain.datasets.transforms import PackInputs

from vicmae_mm.datasets.transforms import PackFrames

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize('image', [
    IMAGE, IMAGE[:, ::-1], IMAGE[::-1], IMAGE[::-1, ::-1], IMAGE[1:4, 2:6], IMAGE[:, 5:1:-1],
    IMAGE[..., ::-1], IMAGE[..., :1], IMAGE[..., 0], IMAGE.astype(np.float32),
    torch.from_numpy(IMAGE.copy())])
def test_same_tensors(image):
    results = dict(imgs=[image, image], filename='a.mp4', label=3)
    ours, theirs = (kind(input_key='imgs', meta_keys=('filename', 'label'))(dict(results))
                    for kind in (PackFrames, PackInputs))
    for one, other in zip(ours['inputs'], theirs['inputs'], strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype and one.is_contiguous()
    assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo
    first, second = ours['inputs']
    assert isinstance(image, torch.Tensor) or first.data_ptr() != second.data_ptr()
