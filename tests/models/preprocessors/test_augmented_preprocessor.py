"""Augmentation of batches on the device: random per sample, repeatable per step and rank."""
import gc
import sys

import pytest
import torch

from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.models import AugmentedPairPreprocessor, PairDataPreprocessor
from vicmae_mm.models.preprocessors import augmented_preprocessor
from vicmae_mm.utils.seeding import get_rng_states, seed_generators

NORMAL = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
COLOURS = [
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='RandomGaussianBlur', kernel_size=(5, 5), sigma=(0.1, 2.0), p=0.5),
]


@pytest.fixture(autouse=True)
def kornia():
    return pytest.importorskip('kornia')


@pytest.fixture
def batch():
    """Six samples of the same two frames."""
    frames = torch.randint(256, (2, 1, 3, 12, 16), dtype=torch.uint8)
    return dict(inputs=[frame.repeat(6, 1, 1, 1) for frame in frames], data_samples=None)


def augmented(batch, transforms=COLOURS, step=0, training=True, **settings):
    seed_generators((0, step))
    return AugmentedPairPreprocessor(transforms, **NORMAL, **settings)(batch, training)['inputs']


def test_every_sample_draws_its_own(batch):
    views = augmented(batch, [dict(type='ColorJitter', brightness=0.4, p=1.)])
    assert all(len({sample.sum().item() for sample in view}) == 6 for view in views)
    assert not torch.equal(*views)


def test_a_step_repeats_and_the_next_differs(batch):
    first, again, other = (augmented(batch, step=step)[1] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ranks_draw_differently_and_leave_the_same_random_state(batch, monkeypatch):
    views, states = [], []
    for rank in (0, 1):
        monkeypatch.setattr(augmented_preprocessor, 'get_rank', lambda rank=rank: rank)
        views.append(augmented(batch)[1])
        states.append(get_rng_states()[2])
    assert not torch.equal(*views)
    assert torch.equal(*states)


def test_augments_only_the_selected_frames(batch):
    plain = PairDataPreprocessor(**NORMAL)(batch)['inputs']
    first, second = augmented(batch, frames=[1])
    assert torch.equal(first, plain[0])
    assert not torch.equal(second, plain[1])


def test_evaluation_and_no_transform_give_the_plain_frames(batch):
    plain = PairDataPreprocessor(**NORMAL)(batch)['inputs']
    for view, wanted in zip(augmented(batch, training=False), plain, strict=True):
        assert torch.equal(view, wanted)
    for view, wanted in zip(augmented(batch, [dict(type='RandomGrayscale', p=0.)]), plain,
                            strict=True):
        torch.testing.assert_close(view, wanted, rtol=0, atol=1e-6)


def test_grey_is_the_luma_of_the_bytes(batch):
    before = batch['inputs'][0].clone()
    grey = augmented(batch, [dict(type='RandomGrayscale', p=1.)])[0]
    pixels = grey * torch.tensor(NORMAL['std']).view(3, 1, 1) + torch.tensor(
        NORMAL['mean']).view(3, 1, 1)
    luma = torch.einsum('bchw,c->bhw', before.float(), torch.tensor([0.299, 0.587, 0.114]))
    torch.testing.assert_close(pixels, luma[:, None].expand_as(pixels), rtol=0, atol=0.01)
    assert torch.equal(batch['inputs'][0], before)


def test_autocast_does_not_reduce_precision(batch):
    plain = augmented(batch)[1]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(augmented(batch)[1], plain)


def test_kornia_stays_off_the_device():
    preprocessor = AugmentedPairPreprocessor(COLOURS, **NORMAL).to('meta')
    transforms, = preprocessor._transforms
    assert {transform.device.type for transform in transforms.children()} == {'cpu'}


def test_does_not_keep_the_batch(batch):
    preprocessor = AugmentedPairPreprocessor(COLOURS, **NORMAL)
    preprocessor(batch, True)
    gc.collect()
    kept = [value for value in gc.get_objects()
            if type(value) is torch.Tensor and value.shape == batch['inputs'][0].shape]
    assert {value.dtype for value in kept} == {torch.uint8}  # those of the batch itself


@pytest.mark.parametrize('setting', [dict(type='Brighten'), dict(type='base'), dict(p=0.1)])
def test_refuses_unknown_augmentations(setting):
    with pytest.raises(ValueError, match=f'kornia.augmentation has no {setting.get("type")!r}'):
        AugmentedPairPreprocessor([setting])


def test_a_wrong_argument_is_reported():
    with pytest.raises(TypeError, match='prob') as info:
        AugmentedPairPreprocessor([dict(type='RandomGrayscale', prob=0.2)])
    assert user_message(info.value) is not None


def test_refuses_wrong_positions_and_names_a_missing_package(monkeypatch):
    with pytest.raises(ValueError, match='AugmentedPairPreprocessor: frames'):
        AugmentedPairPreprocessor([], frames=[2])
    monkeypatch.setitem(sys.modules, 'kornia', None)
    with pytest.raises(ImportError, match="pip install 'kornia"):
        AugmentedPairPreprocessor(COLOURS)


def test_stacked_pairs_are_augmented_as_lists_and_clips_refused(batch):
    stacked = dict(batch, inputs=torch.stack(batch['inputs'], dim=1))
    assert torch.equal(augmented(stacked, frames=[1]),
                       torch.stack(augmented(batch, frames=[1]), dim=1))
    with pytest.raises(ValueError, match='frames, not clips'):
        augmented(dict(batch, inputs=torch.zeros(6, 2, 3, 4, 12, 16)))
