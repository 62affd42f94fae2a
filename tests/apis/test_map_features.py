"""What is mapped is what the encoder computes, at the place that was named."""
import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.models import TINY_ARCH, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from tests.helpers.videos import make_video
from vicmae_mm.apis import map_features
from vicmae_mm.models import Encoder, VideoViT


@pytest.fixture(scope='module')
def encoder():
    torch.manual_seed(0)
    return Encoder.of(tiny_vicmae(data_preprocessor=PREPROCESSOR))


@pytest.fixture(scope='module')
def photo():
    return np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)


@torch.no_grad()
def test_maps_are_the_encoders(encoder, photo):
    file, = map_features(encoder, photo, point=(63, 8))
    assert (file.name, file.times, file.marked) == ('image 0', None, (1, 7))
    assert np.array_equal(file.maps['input'][0], photo)
    images = torch.from_numpy(photo).permute(2, 0, 1)[None]
    features = encoder.feature_map(images)[0]
    other = torch.cosine_similarity(features[:, 3, 2], features[:, 1, 7], dim=0)
    assert file.maps['similarity'][0, 3, 2] == pytest.approx(other.item(), abs=1e-5)
    attention = encoder.class_attention(images)[0].mean(0)
    expected = (attention / attention.mean()).numpy()
    np.testing.assert_allclose(file.maps['attention'][0], expected, rtol=1e-4)


@pytest.mark.parametrize('point, marked', [
    ((0, 0), (0, 0)), ((63, 31), (3, 7)), ((1., 1.), (3, 7)), ((0.0, 0.99), (3, 0)),
    ((8, 7), (0, 1)), ((0.5, 0.26), (1, 4)),
])
def test_points(encoder, photo, point, marked):
    assert map_features(encoder, photo, point=point)[0].marked == marked


@pytest.mark.parametrize('point', [(64, 0), (-1, 0), (0, 32), (1.01, 0.5), (float('nan'), 0.5)])
def test_points_outside_are_refused(encoder, photo, point):
    with pytest.raises(ValueError, match='is outside of image 0, 64 x 32 px: whole numbers are'):
        map_features(encoder, photo, point=point)


def test_a_pixel_and_a_share_are_no_point(encoder, photo):
    with pytest.raises(ValueError, match='is a pixel and a share: give both the same way'):
        map_features(encoder, photo, point=(1, 0.5))


@pytest.mark.parametrize('shape, size, patches', [
    ((32, 64), 64, (8, 16)), ((64, 32), None, (8, 4)), ((5, 3), None, (7, 4)),
    ((10, 500), None, (4, 12)), ((32, 32), 37, (5, 5)), ((32, 32), 1, (1, 1)),
])
def test_sizes(encoder, shape, size, patches):
    file, = map_features(encoder, np.zeros((*shape, 3), np.uint8), size=size)
    assert file.maps['similarity'].shape == file.maps['pca'].shape[:3] == (1, *patches)
    assert file.maps['input'].shape == (1, 8 * patches[0], 8 * patches[1], 3)


def test_clips_and_photos_share_their_colours(encoder, photo, tmp_path):
    clip = make_video(tmp_path / 'clip.mp4', num_frames=10, fps=10)
    Image.fromarray(photo).save(tmp_path / 'photo.png')
    paths = [clip, tmp_path / 'photo.png']
    film, still = map_features(encoder, paths, num_frames=4)
    np.testing.assert_allclose(film.times, [0, 0.3, 0.6, 0.9], atol=1e-6)
    assert film.maps['pca'].shape == (4, 4, 5, 3) and (still.name, still.times) == (
        'photo.png', None)
    assert film.maps['similarity'][(0, *film.marked)] == pytest.approx(1)
    assert film.maps['similarity'][1:].max() < 1
    again = map_features(encoder, paths, num_frames=4)
    assert np.array_equal(again[1].maps['pca'], still.maps['pca'])
    assert not np.allclose(map_features(encoder, photo)[0].maps['pca'], still.maps['pca'])
    assert len(map_features(encoder, clip, num_frames=99)[0].times) == 10


def test_networks_of_clips_see_stills(photo):
    net = VideoViT(arch=TINY_ARCH, img_size=32, patch_size=8, num_frames=4, tubelet_size=2,
                   out_type='raw')
    encoder = Encoder(net)
    file, = map_features(encoder, photo)
    still = torch.from_numpy(photo).permute(2, 0, 1)[None, :, None].expand(-1, -1, 4, -1, -1)
    features = encoder.feature_map(still)[0].mean(1)
    other = torch.cosine_similarity(features[:, 0, 0], features[:, 2, 4], dim=0)
    assert file.maps['similarity'][0, 0, 0] == pytest.approx(other.item(), abs=1e-5)
    assert file.maps['attention'].mean() == pytest.approx(1, abs=1e-5)
