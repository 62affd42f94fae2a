"""PackFrames gives what mmpretrain's PackInputs gives, and the id of the video."""
import numpy as np
import pytest
import torch
from mmpretrain.datasets.transforms import PackInputs

from vicmae_mm.datasets.transforms import PackFrames
from vicmae_mm.datasets.transforms.packing import video_id

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
    assert ours['data_samples'].metainfo == dict(
        theirs['data_samples'].metainfo, video_id=video_id('a.mp4'))
    first, second = ours['inputs']
    assert isinstance(image, torch.Tensor) or first.data_ptr() != second.data_ptr()


def test_the_id_is_that_of_the_absolute_path_in_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pack = PackFrames(meta_keys=())

    def packed(**results) -> dict:
        return pack(dict(imgs=[IMAGE], **results))['data_samples'].metainfo

    own = packed(filename='a.mp4')
    assert own == packed(filename=str(tmp_path / 'a.mp4'), segment=(10., 20.))
    assert own == packed(filename=str(tmp_path / 'b' / '..' / 'a.mp4'))
    assert own != packed(filename='b.mp4')
    assert 0 <= own['video_id'] < 2**63
    assert packed() == {}
    # A constant: the hash of Python would differ between processes.
    assert video_id('/videos/a\udcff.mp4') == 3674264586920759162
