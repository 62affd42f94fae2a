"""Embedding only visible and predicting only hidden patches gives the numbers of the plain way."""
import pytest
import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmengine.utils import digit_version
from mmpretrain.models import MAEPretrainDecoder, MAEPretrainHead, MAEViT
from torch import Tensor, nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_vicmae
from vicmae_mm.engine.hooks.compile_hook import compile_model
from vicmae_mm.models import ViCMAE

GRADIENTS = dict[str, Tensor]


def frames_and_noise(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(8, 3, IMG_SIZE, IMG_SIZE, generator=generator, dtype=torch.float64)
    return frames.to(dtype), torch.rand(8, (IMG_SIZE // PATCH)**2, generator=generator)


def model_of(dtype: torch.dtype, mask_ratio: float, **kwargs) -> ViCMAE:
    torch.manual_seed(1)
    model = tiny_vicmae(
        backbone=dict(mask_ratio=mask_ratio), decoder=dict(decoder_depth=3), contrast_head=None,
        **kwargs)
    return model.to(dtype)


def loss_and_gradients(model: nn.Module, loss: Tensor) -> tuple[Tensor, GRADIENTS]:
    model.zero_grad()
    loss.backward()
    return loss.detach(), {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters() if parameter.grad is not None}


def fast(model: ViCMAE, frames: Tensor, noise: Tensor) -> tuple[Tensor, GRADIENTS]:
    latent, _, ids_restore = model.backbone(frames, noise=noise)
    return loss_and_gradients(model, model._reconstruction_loss(latent, ids_restore, frames)[0])


def plain(model: ViCMAE, frames: Tensor, noise: Tensor) -> tuple[Tensor, GRADIENTS]:
    """mmpretrain's own modules: every patch embedded, every patch predicted, then masked."""

    class WithNoise(MAEViT):

        def random_masking(self, x, mask_ratio):
            with torch.random.fork_rng():
                torch.rand = lambda *size, device: noise
                try:
                    return super().random_masking(x, mask_ratio)
                finally:
                    torch.rand = rand

    rand = torch.rand
    parts = nn.ModuleDict(dict(
        backbone=WithNoise(
            arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH,
            mask_ratio=model.backbone.mask_ratio),
        neck=MAEPretrainDecoder(
            num_patches=(IMG_SIZE // PATCH)**2, patch_size=PATCH, embed_dim=WIDTH,
            decoder_embed_dim=16, decoder_depth=3, decoder_num_heads=2)))
    parts.to(frames.dtype)
    parts.load_state_dict({name: value for name, value in model.state_dict().items()
                           if name.startswith(('backbone.', 'neck.'))})
    head = MAEPretrainHead(
        norm_pix=True, patch_size=PATCH, loss=dict(type='PixelReconstructionLoss', criterion='L2'))
    latent, mask, ids_restore = parts.backbone(frames)
    return loss_and_gradients(
        parts, head.loss(parts.neck(latent, ids_restore), frames, mask.to(frames.dtype)))


def assert_same(got: tuple[Tensor, GRADIENTS], want: tuple[Tensor, GRADIENTS],
                tolerance: float) -> None:
    """Loss, and the 2-norm of each gradient's difference relative to that of all gradients."""
    assert abs(float(got[0] / want[0]) - 1) <= tolerance
    assert got[1].keys() == want[1].keys()
    norm = sum(float(gradient.square().sum()) for gradient in want[1].values())**0.5
    for name in want[1]:
        assert float((got[1][name] - want[1][name]).norm()) / norm <= tolerance, name


@pytest.mark.parametrize('mask_ratio', [0.75, 0.5])
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_loss_and_gradients_are_mmpretrains(mask_ratio, dtype, tolerance):
    model, (frames, noise) = model_of(dtype, mask_ratio), frames_and_noise(dtype)
    assert_same(fast(model, frames, noise), plain(model, frames, noise), tolerance)


def test_hidden_patches_equal_those_of_the_full_prediction():
    model, (frames, noise) = model_of(torch.float64, 0.5), frames_and_noise(torch.float64)
    latent, mask, ids_restore = model.backbone(frames, noise=noise)
    full = model.neck(latent, ids_restore)
    hidden = model.neck(latent, ids_restore, hidden_only=True)
    numbers = ids_restore.argsort(dim=1)[:, 8:]
    assert mask.gather(1, numbers).all()
    torch.testing.assert_close(
        hidden, full[torch.arange(8)[:, None], numbers], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('chunks', [2, 3, 8])
def test_chunks_of_the_decoder_change_nothing(chunks):
    frames, noise = frames_and_noise(torch.float64)
    full = fast(model_of(torch.float64, 0.75), frames, noise)
    assert_same(
        fast(model_of(torch.float64, 0.75, decoder_chunks=chunks), frames, noise), full, 1e-14)


def kept_by_the_decoder(model: ViCMAE) -> int:
    """Count the numbers kept for the backward pass."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(x.numel()) or x, lambda x: x):
        frames, noise = frames_and_noise(torch.float32)
        latent, _, ids_restore = model.backbone(frames, noise=noise)
        sizes.clear()
        model._reconstruction_loss(latent.detach(), ids_restore, frames)
    return sum(sizes)


def test_chunks_of_the_decoder_keep_less_for_the_backward_pass():
    full, halves = (
        kept_by_the_decoder(model_of(torch.float32, 0.75, decoder_chunks=n)) for n in (1, 2))
    assert halves < full / 2


@pytest.mark.parametrize('block', [0, 2])
def test_every_block_of_the_decoder_can_be_checkpointed(block):
    plain, saving = (model_of(torch.float32, 0.75) for _ in range(2))
    turn_on_activation_checkpointing(saving, [f'neck.decoder_blocks.{block}'])
    assert kept_by_the_decoder(saving) < 0.85 * kept_by_the_decoder(plain)
    batch = frames_and_noise(torch.float32)
    assert_same(fast(saving, *batch), fast(plain, *batch), 1e-7)


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.5'), reason='CompileHook needs torch 2.5')
def test_compiles_once_without_a_graph_break():
    model = model_of(torch.float32, 0.75, decoder_chunks=2)
    batches = [frames_and_noise(torch.float32) for _ in range(3)]
    want = [fast(model, *batch) for batch in batches]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_model(model, backend='eager')
    for batch, expected in zip(batches, want, strict=True):
        assert_same(fast(model, *batch), expected, 1e-6)
    counters = torch._dynamo.utils.counters
    assert counters['stats']['unique_graphs'] == 2 and not counters['graph_break']
    assert not counters['recompiles']


@pytest.mark.gpu
def test_compiled_in_bfloat16_on_a_gpu():
    """The loss of a compiled bf16 step against fp32: 1 %, bf16 having 8 bits of mantissa."""
    model = model_of(torch.float32, 0.75).cuda()
    frames, noise = (tensor.cuda() for tensor in frames_and_noise(torch.float32))
    want, _ = fast(model, frames, noise)
    compile_model(model)
    with torch.autocast('cuda', dtype=torch.bfloat16):
        got, gradients = fast(model, frames, noise)
    assert abs(float(got / want) - 1) <= 1e-2
    assert all(gradient.isfinite().all() for gradient in gradients.values())
