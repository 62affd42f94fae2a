"""The pictures show what the network saw and predicted."""
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from tests.helpers.models import IMG_SIZE, PATCH, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from vicmae_mm.visualization.reconstruction import (
    GREY,
    draw_reconstruction,
    mask_noise,
    reconstruct,
)

NUM_PATCHES = (IMG_SIZE // PATCH)**2


def some_frames(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)


def hidden_pixels(noise: torch.Tensor, keep: int = NUM_PATCHES // 4) -> np.ndarray:
    """(B, H, W), True where the patch is not among the ``keep`` of least noise; by loops."""
    hidden = np.ones((len(noise), IMG_SIZE, IMG_SIZE), dtype=bool)
    for image, row in zip(hidden, noise.tolist(), strict=True):
        for patch in sorted(range(NUM_PATCHES), key=row.__getitem__)[:keep]:
            y, x = divmod(patch, IMG_SIZE // PATCH)
            image[y * PATCH:(y + 1) * PATCH, x * PATCH:(x + 1) * PATCH] = False
    return hidden


class Oracle(torch.nn.Module):
    """A decoder that knows the answer: the head's own target of the frames."""

    def __init__(self, model, images) -> None:
        super().__init__()
        self.target = model.head.construct_target(images)

    def forward(self, latent: torch.Tensor, ids_restore: torch.Tensor) -> torch.Tensor:
        return self.target


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize('preprocessor', [
    PREPROCESSOR, dict(type='mmpretrain.SelfSupDataPreprocessor')], ids=['normalised', 'raw'])
def test_perfect_prediction_restores_the_frame(norm_pix, preprocessor):
    model = tiny_vicmae(data_preprocessor=preprocessor, head=dict(norm_pix=norm_pix))
    frames = some_frames()
    frames[0] = 255 * (torch.rand(frames[0].shape) > 0.99)  # outliers show a wrong variance
    images = model.data_preprocessor(dict(inputs=[frames], data_samples=None))['inputs'][0]
    model.neck = Oracle(model, images)
    result = reconstruct(model, frames, mask_noise(3, NUM_PATCHES, 0))
    rgb = frames.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(result.frame, rgb)
    assert np.array_equal(result.prediction, rgb)
    assert np.array_equal(result.completed, rgb)


def test_masks_are_where_the_network_had_them():
    model, frames = tiny_vicmae(data_preprocessor=PREPROCESSOR), some_frames()
    noise = mask_noise(3, NUM_PATCHES, 1)
    result, hidden = reconstruct(model, frames, noise), hidden_pixels(noise)
    assert (result.masked[hidden] == GREY).all()
    assert np.array_equal(result.masked[~hidden], result.frame[~hidden])
    assert np.array_equal(result.completed[hidden], result.prediction[hidden])
    assert np.array_equal(result.completed[~hidden], result.frame[~hidden])
    # The prediction depends only on the visible patches.
    changed = frames.clone()
    changed.permute(0, 2, 3, 1)[torch.from_numpy(hidden)] = 0
    same = reconstruct_raw(model, changed, noise)
    assert torch.equal(same, reconstruct_raw(model, frames, noise))
    assert not same.requires_grad


def reconstruct_raw(model, frames: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The decoder's output as :func:`reconstruct` gets it."""
    caught = []
    handle = model.neck.register_forward_hook(lambda *args: caught.append(args[-1]))
    reconstruct(model, frames, noise)
    handle.remove()
    return caught[0]


def test_pixels_beyond_the_range_are_clipped():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR, head=dict(norm_pix=False))
    model.neck = torch.nn.Module()
    model.neck.forward = lambda latent, ids: torch.full((1, NUM_PATCHES, 3 * PATCH**2), 9.)
    result = reconstruct(model, some_frames(1), mask_noise(1, NUM_PATCHES, 0))
    assert (result.prediction == 255).all()


def test_does_not_change_mode_random_state_or_gradients():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR).train()
    model.backbone.layers[0].eval()
    modes = [module.training for module in model.modules()]
    frames, state = some_frames(), torch.get_rng_state()
    reconstruct(model, frames, mask_noise(3, NUM_PATCHES, 0))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mode_is_restored_after_an_error():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR).train()
    with pytest.raises(ValueError, match='built for 32 x 32'):
        reconstruct(model, torch.zeros(1, 3, 40, 40), mask_noise(1, NUM_PATCHES, 0))
    assert model.training


def test_dropout_is_off():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR, backbone=dict(drop_rate=0.5)).train()
    frames, noise = some_frames(), mask_noise(3, NUM_PATCHES, 0)
    pictures = [reconstruct(model, frames, noise).prediction for _ in range(2)]
    assert np.array_equal(*pictures)


def test_masks_depend_only_on_the_seed():
    assert torch.equal(mask_noise(2, 5, 7), mask_noise(4, 5, 7)[:2])
    assert not torch.equal(mask_noise(2, 5, 7), mask_noise(2, 5, 8))


def test_rows_of_the_grid_follow_the_inputs():
    model, frames = tiny_vicmae(data_preprocessor=PREPROCESSOR), some_frames()
    picture = draw_reconstruction(model, [('a pair', frames[:2]), ('an image', frames[2:])], 0)
    heights = [find(picture, frame.permute(1, 2, 0).numpy()) for frame in frames]
    assert heights == sorted(heights) and len(set(heights)) == 3
    # The third row has its own caption above it.
    assert heights[2] - heights[1] > heights[1] - heights[0]


def find(picture: np.ndarray, frame: np.ndarray) -> int:
    """The row of the picture at which the (enlarged) frame is in the first column."""
    scale = 192 // IMG_SIZE
    big = frame.repeat(scale, 0).repeat(scale, 1)
    left = picture[:, 6:6 + big.shape[1]]
    return next(y for y in range(len(left) - len(big) + 1)
                if np.array_equal(left[y:y + len(big)], big))


def test_footnote_explains_norm_pix(monkeypatch):
    notes = []
    monkeypatch.setattr('vicmae_mm.visualization.reconstruction.draw_grid',
                        lambda titles, sections, footnote: notes.append(footnote))
    for norm_pix in (True, False):
        model = tiny_vicmae(data_preprocessor=PREPROCESSOR, head=dict(norm_pix=norm_pix))
        draw_reconstruction(model, [('a', some_frames(1))], 0)
    assert 'norm_pix' in notes[0] and notes[1] == ''


def test_no_decoder_is_refused():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR, decoder=None, head=None)
    with pytest.raises(ValueError, match='has no decoder'):
        reconstruct(model, some_frames(), mask_noise(3, NUM_PATCHES, 0))


def test_features_are_no_picture():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR)
    model.target_generator = Mock()
    with pytest.raises(ValueError, match='predicts features'):
        reconstruct(model, some_frames(), mask_noise(3, NUM_PATCHES, 0))
