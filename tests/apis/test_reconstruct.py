"""The picture of files: rows, masks, and the model left as it was."""
import numpy as np
import pytest

from tests.helpers.models import tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from tests.helpers.videos import make_video
from vicmae_mm.apis import reconstruction_picture


@pytest.fixture
def clip(tmp_path):
    return make_video(tmp_path / 'clip.mp4')


@pytest.fixture
def model():
    return tiny_vicmae(data_preprocessor=PREPROCESSOR).eval()


def grey_share(picture: np.ndarray) -> float:
    """Share of the two masked pictures of a pair that is hidden."""
    cell = picture[56:, 204:396]  # the second column of 192 px
    rows = np.concatenate((cell[:192], cell[198:390]))
    return float((rows == 127).all(-1).mean())


def test_mask_ratio(model, clip):
    assert grey_share(reconstruction_picture(model, [clip])) == pytest.approx(0.75, abs=0.02)
    half = reconstruction_picture(model, [clip], mask_ratio=0.5)
    assert grey_share(half) == pytest.approx(0.5, abs=0.02)
    assert model.backbone.mask_ratio == 0.75


def test_seed(model, clip):
    first, again, other = (reconstruction_picture(model, [clip], seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize('ratio', [-0.1, 1, 0.99])
def test_mask_ratio_out_of_range(model, clip, ratio):
    with pytest.raises(ValueError, match=f'mask_ratio={ratio} must be in'):
        reconstruction_picture(model, [clip], mask_ratio=ratio)
    assert model.backbone.mask_ratio == 0.75


def test_no_decoder(clip):
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR, decoder=None, head=None)
    with pytest.raises(ValueError, match='has no decoder'):
        reconstruction_picture(model, [clip])


def test_real_clips(model, real_data):
    lines = (real_data / 'videos.txt').read_text().splitlines()
    clips = [real_data / 'videos' / line.rsplit(maxsplit=1)[0] for line in lines]
    picture = reconstruction_picture(model, clips)
    rows, lines_of_text = 2 * len(clips), 1 + len(clips) + 2  # titles, captions, footnote
    assert len(picture) == 28 * lines_of_text + 198 * rows + 6
