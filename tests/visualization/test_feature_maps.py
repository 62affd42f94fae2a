"""Colours are principal components; the picture has every map where it belongs."""
import numpy as np
import pytest
import torch

from vicmae_mm.visualization import MappedFile, draw_feature_maps
from vicmae_mm.visualization.feature_maps import principal_colours


def test_colours_are_principal_components():
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1., 20., 5., 0.1, 10.])
    maps = [torch.randn(t, 4, 6, 5, generator=generator) * scales + 3 for t in (2, 5)]
    colours = principal_colours(maps)
    assert [each.shape for each in colours] == [(2, 4, 6, 3), (5, 4, 6, 3)]
    rows = torch.cat([each.flatten(0, 2) for each in maps]).double()
    _, _, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found = torch.cat([each.flatten(0, 2) for each in colours])
    assert found.min() == 0 and found.max() == 1
    for component in range(3):
        axis = axes[component] * axes[component][axes[component].abs().argmax()].sign()
        inside = (found[:, component] > 0) & (found[:, component] < 1)
        values = ((rows - rows.mean(0)) @ axis)[inside]
        slope = np.polyfit(values, found[inside, component], 1)
        np.testing.assert_allclose(np.polyval(slope, values), found[inside, component], atol=1e-6)
        assert slope[0] > 0
    assert torch.equal(torch.cat([each.flatten() for each in principal_colours(maps)]),
                       found.flatten())


@pytest.mark.parametrize('rows', [1, 6])
def test_constant_features_are_grey(rows):
    constant = torch.tensor([0.1, 1e4, -3., 7.]).expand(1, rows, 2, 4)
    assert torch.equal(principal_colours([constant])[0], torch.full((1, rows, 2, 3), 0.5).double())


def a_file(times=None, shape=(2, 4)):
    frames = 1 if times is None else len(times)
    maps = dict(similarity=np.linspace(0, 1, frames * shape[0] * shape[1]).reshape(frames, *shape),
                pca=np.full((frames, *shape, 3), (0., 1., 0.)),
                input=np.full((frames, 8 * shape[0], 8 * shape[1], 3), (0, 0, 255), np.uint8))
    return MappedFile('a name', times, maps, (0, 1))


def columns_with(picture, colour):
    """Number of separate runs of columns that contain a colour."""
    found = (np.abs(picture.astype(int) - colour) <= 2).all(-1).any(0)
    return int(np.diff(found.astype(int), prepend=0).clip(0).sum())


def test_frames_are_columns_and_images_rows():
    clip = draw_feature_maps([a_file(np.arange(3.))], 'title')
    assert clip.dtype == np.uint8 and clip.ndim == 3
    assert columns_with(clip, (0, 255, 0)) == columns_with(clip, (0, 0, 255)) == 3
    photos = draw_feature_maps([a_file(), a_file(shape=(4, 2))])
    assert columns_with(photos, (0, 255, 0)) == 1
    assert columns_with(photos.transpose(1, 0, 2), (0, 255, 0)) == 2
    assert columns_with(photos, (255, 0, 0)) == 2  # outlines, in the inputs and similarities


def test_kinds_and_single_frames():
    file = a_file(np.arange(3.))
    only = draw_feature_maps([file], kinds=['similarity'], frames=slice(1, 2))
    assert columns_with(only, (0, 255, 0)) == 0 and columns_with(only, (0, 0, 255)) == 1
    assert not (only == (255, 0, 0)).all(-1).any()  # the patch is of the first frame
    # Colours mean the same in each frame.
    first = draw_feature_maps([file], kinds=['similarity'], frames=slice(0, 1))
    bright = np.array([253, 231, 37])
    assert (np.abs(first[:200] - bright) > 20).any(-1).all()


def test_equal_values_and_names_in_other_scripts_are_drawn():
    file = a_file()
    file.maps['similarity'][:] = 1
    assert draw_feature_maps([file._replace(name='кот ' * 30)]).shape[1] < 1200
