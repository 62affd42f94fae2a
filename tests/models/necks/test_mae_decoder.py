"""The decoder: grids of patches."""
import pytest
import torch

from tests.helpers.models import PATCH, tiny_vicmae
from vicmae_mm.models.positions import sincos_position_table
from vicmae_mm.visualization.reconstruction import reconstruct


def rectangular(rows: int, columns: int, **decoder):
    return tiny_vicmae(backbone=dict(img_size=(rows * PATCH, columns * PATCH)),
                       decoder=dict(dict(num_patches=[rows, columns]), **decoder))


@torch.no_grad()
def test_hidden_patches_of_a_rectangle():
    model = rectangular(2, 3).eval()
    table = model.neck.decoder_pos_embed.data
    assert torch.equal(table, sincos_position_table((2, 3), 16))
    images = torch.rand(2, 3, 2 * PATCH, 3 * PATCH)
    latent, _, ids_restore = model.backbone(images)
    hidden = ids_restore.argsort(dim=1)[:, 1:]
    torch.testing.assert_close(
        model.neck(latent, ids_restore, hidden_only=True),
        model.neck(latent, ids_restore).take_along_dim(hidden[:, :, None], 1))


def test_the_loss_of_a_rectangle_is_that_of_its_patches():
    model = rectangular(2, 3, predict_feature_dim=3 * PATCH**2)
    torch.nn.init.zeros_(model.neck.decoder_pred.weight)  # predicts zeros
    model.head.norm_pix = False
    frame = torch.zeros(1, 3, 2 * PATCH, 3 * PATCH)
    frame[:, :, :PATCH, -PATCH:] = 2.  # the upper right patch
    order = torch.tensor([[5, 4, 3, 1, 0, 2]])
    latent, _, ids_restore = model.backbone(frame, noise=order.argsort(1).float())
    # one of the five hidden patches has an error of 4, or none of them if it is visible
    assert model.hidden_patch_loss(latent, ids_restore, frame)[0].item() == pytest.approx(4 / 5)
    latent, _, ids_restore = model.backbone(frame, noise=order.flip(1).argsort(1).float())
    assert model.hidden_patch_loss(latent, ids_restore, frame)[0].item() == 0


def test_pictures_of_a_rectangle():
    model = rectangular(2, 3)
    frames = torch.randint(0, 256, (2, 3, 2 * PATCH, 3 * PATCH)).float()
    noise = torch.tensor([[5., 4, 0, 3, 2, 1], [0., 1, 2, 3, 4, 5]])  # visible: patch 2, patch 0
    result = reconstruct(model, frames, noise)
    assert result.frame.shape == result.prediction.shape == (2, 2 * PATCH, 3 * PATCH, 3)
    for index, left in ((0, 2 * PATCH), (1, 0)):
        visible = (slice(0, PATCH), slice(left, left + PATCH))
        shown = frames[index].permute(1, 2, 0).byte().numpy()
        assert (result.masked[index][visible] == shown[visible]).all()
        assert (result.completed[index][visible] == shown[visible]).all()
        assert (result.masked[index] == 127).mean() > 0.8


@pytest.mark.parametrize('decoder, message', [
    (dict(num_patches=6), r'num_patches=6 is not a square number: .* set it to \(rows, columns\)'),
    (dict(num_patches=(3, 2)), r'num_patches=\(3, 2\) does not fit the backbone \(16 x 24 px'),
    (dict(num_patches=4), r'num_patches=4 does not fit .*: set it to \(2, 3\)')])
def test_other_grids_are_refused(decoder, message):
    with pytest.raises(ValueError, match=message):
        rectangular(2, 3, **decoder)
