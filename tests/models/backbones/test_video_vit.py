"""The video encoder: identities with the image encoder, sizes, attention, checkpointing."""
import importlib.util
from typing import Any

import mmengine.runner.activation_checkpointing as patched
import pytest
import torch
from mmpretrain.models import VisionTransformer
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vicmae_mm.models import VideoViT
from vicmae_mm.registry import MODELS

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SIZES = dict(arch=TINY, img_size=32, patch_size=8)
# fp64 rounding over two layers, on features of order 1: measured below 1e-15
EXACT = dict(rtol=0, atol=1e-12)


def randomised(model: Any) -> Any:
    """The model in fp64 and eval mode, with random parameters."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.double().eval()
    return model


def image_vit(out_type: str, **kwargs: Any) -> VisionTransformer:
    return randomised(VisionTransformer(
        **SIZES, out_type=out_type, final_norm=out_type != 'avg_featmap', **kwargs))


def video_vit(num_frames: int = 4, **kwargs: Any) -> VideoViT:
    return randomised(MODELS.build(dict(
        type='vicmae_mm.VideoViT', **{**SIZES, 'num_frames': num_frames, **kwargs})))


def still_clip(image: torch.Tensor, num_frames: int) -> torch.Tensor:
    return image[:, :, None].expand(-1, -1, num_frames, -1, -1)


@pytest.mark.parametrize('separable', [True, False])
@pytest.mark.parametrize('tubelet', [1, 2, 4])
@pytest.mark.parametrize('out_type', ['cls_token', 'avg_featmap'])
def test_one_tubelet_of_identical_frames_equals_the_image_encoder(out_type, tubelet, separable):
    image, encoder = torch.rand(2, 3, 32, 32).double(), image_vit(out_type)
    video = video_vit(tubelet, tubelet_size=tubelet, out_type=out_type,
                      separable_position=separable)
    video.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(video(still_clip(image, tubelet)), encoder(image)[0], **EXACT)


@pytest.mark.parametrize('separable', [True, False])
def test_without_class_token_identical_frames_equal_the_image_encoder(separable):
    # Every patch occurs T' times among the keys, with equal weight: the average is the same.
    image, encoder = torch.rand(2, 3, 32, 32).double(), image_vit('avg_featmap',
                                                                  with_cls_token=False)
    video = video_vit(16, with_cls_token=False, separable_position=separable)
    video.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(video(still_clip(image, 16)), encoder(image)[0], **EXACT)


def test_with_class_token_a_longer_clip_differs_from_the_image_encoder():
    # The class token's key competes with T' times as many patches.
    image, encoder = torch.rand(2, 3, 32, 32).double(), image_vit('avg_featmap')
    video = video_vit(16)
    video.load_state_dict(encoder.state_dict())
    assert (video(still_clip(image, 16)) - encoder(image)[0]).abs().max() > 1e-3


def test_position_table_is_time_major():
    video = video_vit(6)
    table = video.position_table(video.grid)
    for time in range(3):
        for place in range(16):
            expected = video.pos_embed[0, 1 + place] + video.temporal_embed[0, time]
            torch.testing.assert_close(table[0, 1 + 16 * time + place], expected, **EXACT)
    torch.testing.assert_close(table[:, 0], video.pos_embed[:, 0], **EXACT)


@pytest.mark.parametrize('out_type, shape', [
    ('cls_token', (2, 32)), ('avg_featmap', (2, 32)), ('featmap', (2, 32, 2, 4, 4)),
    ('raw', (2, 33, 32))])
def test_output_shapes(out_type, shape):
    assert video_vit(out_type=out_type)(torch.rand(2, 3, 4, 32, 32).double()).shape == shape


def test_feature_map_has_the_layout_of_the_clip():
    video = video_vit(out_type='featmap', final_norm=False)
    clip = torch.rand(1, 3, 4, 32, 32).double()
    tokens = []
    video.layers[-1].register_forward_hook(lambda module, args, out: tokens.append(out))
    featmap = video(clip)
    assert torch.equal(featmap[0, :, 1, 2, 3], tokens[0][0, 1 + 16 + 2 * 4 + 3])


def test_several_layers_give_a_tuple():
    outs = video_vit(out_indices=[0, 1])(torch.rand(2, 3, 4, 32, 32).double())
    assert [out.shape for out in outs] == [(2, 32)] * 2


@pytest.mark.parametrize('separable', [True, False])
def test_other_sizes_are_encoded_by_interpolated_positions(separable):
    video = video_vit(4, separable_position=separable)
    assert video(torch.rand(2, 3, 8, 48, 40).double()).shape == (2, 32)
    # A constant table stays constant for any size.
    video.pos_embed.data[:] = 0.5
    if separable:
        video.temporal_embed.data[:] = 0.25
    table = video.position_table((5, 6, 3))
    assert table.shape == (1, 1 + 90, 32)
    # mmpretrain interpolates in float32
    torch.testing.assert_close(table[:, 1:], torch.full_like(
        table[:, 1:], 0.75 if separable else 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize('shape', [(2, 3, 32, 32), (2, 3, 5, 32, 32)])
def test_refuses_inputs_that_are_not_clips(shape):
    with pytest.raises(ValueError, match='T a multiple of 2 frames, but got'):
        video_vit()(torch.rand(shape).double())


@pytest.mark.parametrize('frames, tubelet', [(15, 2), (0, 2), (4, 0)])
def test_wrong_lengths_are_refused(frames, tubelet):
    with pytest.raises(ValueError, match='must be a multiple of'):
        VideoViT(**SIZES, num_frames=frames, tubelet_size=tubelet)


def test_attention_is_torchs_fused_one():

    class Count(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += func is F.scaled_dot_product_attention
            return func(*args, **(kwargs or {}))

    with Count() as count:
        video_vit()(torch.rand(1, 3, 4, 32, 32).double())
    assert count.calls == 2  # layers


def test_frozen_encoder_has_nothing_to_train():
    video = MODELS.build(dict(
        type='vicmae_mm.VideoViT', **SIZES, num_frames=4, frozen_stages=2))
    assert not [name for name, p in video.named_parameters() if p.requires_grad]
    assert not video(torch.rand(1, 3, 4, 32, 32)).requires_grad


def test_depths_for_layer_decay():
    video = video_vit()
    for name, depth in dict(
            temporal_embed=0, pos_embed=0, cls_token=0, ln2=3, **{
                'patch_embed.projection.weight': 0, 'layers.0.ln1.weight': 1,
                'layers.1.attn.qkv.bias': 2}).items():
        assert video.get_layer_depth(f'backbone.{name}', 'backbone.') == (depth, 4)
    assert video.get_layer_depth('cls_head.fc_cls.weight', 'backbone.') == (3, 4)


def gradients(model: torch.nn.Module, clip: torch.Tensor) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    torch.manual_seed(1)  # drop path draws the same
    model(clip).square().sum().backward()
    return {name: None if p.grad is None else p.grad.clone()
            for name, p in model.named_parameters()}


@pytest.mark.parametrize('frozen', [-1, 1])
def test_checkpointing_does_not_change_results_or_gradients(frozen):
    # behind a frozen stem, reentrant checkpointing would give the other layers no gradient
    clip = torch.rand(8, 3, 4, 32, 32).double()
    plain = video_vit(drop_path_rate=0.5, frozen_stages=frozen).train()
    saving = video_vit(drop_path_rate=0.5, frozen_stages=frozen, with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    expected, got = gradients(plain, clip), gradients(saving, clip)
    assert {name for name, gradient in expected.items() if gradient is not None} == {
        name for name, parameter in plain.named_parameters() if parameter.requires_grad}
    for name, gradient in expected.items():
        if gradient is None:
            assert got[name] is None
        else:
            torch.testing.assert_close(got[name], gradient, **EXACT)
            assert gradient.any(), name


def kept_bytes(model: torch.nn.Module, clip: torch.Tensor) -> int:
    """Memory that a forward pass keeps allocated while its output is alive."""
    with torch.profiler.profile(profile_memory=True) as profile:
        out = model(clip)  # noqa: F841
    return sum(event.self_cpu_memory_usage for event in profile.events())


def test_checkpointing_saves_memory():
    arch = {**TINY, 'num_layers': 8}
    clip = torch.rand(4, 3, 4, 32, 32).double()
    plain = kept_bytes(video_vit(arch=arch).train(), clip)
    saving = kept_bytes(video_vit(arch=arch, with_cp=True).train(), clip)
    # A layer keeps its input (1 x width per token) instead of about 20 x width.
    assert 0 < saving < plain / 4


def stock_activation_checkpointing() -> Any:
    """mmengine's unpatched module, without the fix of vicmae_mm.compat."""
    spec = importlib.util.spec_from_file_location('stock_checkpointing', patched.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings('ignore:None of the inputs have requires_grad')
def test_mmengines_checkpointing_gives_gradients_only_with_the_fix():
    clip = torch.rand(2, 3, 4, 32, 32).double()
    plain = torch.nn.Sequential()
    plain.add_module('backbone', video_vit())
    expected = gradients(plain, clip)
    for module, works in ((stock_activation_checkpointing(), False), (patched, True)):
        model = torch.nn.Sequential()
        model.add_module('backbone', video_vit())
        model.add_module('head', torch.nn.Linear(32, 32).double())
        torch.nn.init.eye_(model.head.weight)
        torch.nn.init.zeros_(model.head.bias)
        model.backbone.load_state_dict(plain.backbone.state_dict())
        module.turn_on_activation_checkpointing(model, ['backbone'])
        got = gradients(model, clip)
        for name, gradient in expected.items():
            if works:
                torch.testing.assert_close(got[name], gradient, **EXACT)
            else:
                assert got[name] is None


def test_rectangles():
    net = VideoViT(arch=TINY, img_size=(16, 40), patch_size=8, num_frames=4, out_type='featmap')
    assert net.grid == (2, 2, 5)
    assert net.eval()(torch.rand(1, 3, 4, 16, 40)).shape == (1, 32, 2, 2, 5)
