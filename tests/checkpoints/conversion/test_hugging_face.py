"""The image networks of transformers and ours give the same on the same weights."""
import pytest
import torch
from mmpretrain.models import LinearClsHead, MAEPretrainDecoder

from tests.checkpoints.conversion.helpers import (
    FP32,
    FP64,
    assert_same,
    detect_family,
    image_encoder,
    load_hugging_face,
    load_part,
    randomise,
)
from tests.helpers.models import IMG_SIZE, PATCH, WIDTH, tiny_vicmae
from vicmae_mm.checkpoints.conversion import convert
from vicmae_mm.checkpoints.weight_files import read_weights

transformers = pytest.importorskip('transformers', minversion='4.56')
SIZE = dict(
    hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    image_size=IMG_SIZE, patch_size=PATCH, layer_norm_eps=1e-6, num_labels=5)
DECODER = dict(
    decoder_hidden_size=16, decoder_num_hidden_layers=2, decoder_num_attention_heads=2,
    decoder_intermediate_size=64, mask_ratio=0.5)
IMAGES = torch.randn(2, 3, IMG_SIZE, IMG_SIZE, generator=torch.Generator().manual_seed(1))
NOISE = torch.rand(2, 16, generator=torch.Generator().manual_seed(2))


def saved(model, folder):
    """What ``save_pretrained`` writes: the names that the files of the hub have."""
    model.save_pretrained(folder)
    return read_weights(folder / 'model.safetensors')


@torch.no_grad()
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, FP32), (torch.float64, FP64)])
def test_tokens_are_equal(dtype, tolerance, tmp_path):
    theirs = randomise(transformers.ViTModel(
        transformers.ViTConfig(**SIZE), add_pooling_layer=False)).to(dtype)
    state = saved(theirs, tmp_path)
    assert detect_family(state) == 'hf-vit'
    ours = image_encoder(convert(state))
    images = IMAGES.to(dtype)
    torch.testing.assert_close(ours(images)[0], theirs(images).last_hidden_state, **tolerance)
    assert_same(convert(convert(state), target='hf-vit'), state)


@torch.no_grad()
def test_classes_are_equal(tmp_path):
    theirs = randomise(transformers.ViTForImageClassification(transformers.ViTConfig(**SIZE)))
    state = saved(theirs, tmp_path)
    converted = convert(state)
    ours = image_encoder(converted, out_type='cls_token')
    head = load_part(LinearClsHead(num_classes=5, in_channels=WIDTH), converted, 'head.')
    torch.testing.assert_close(head(ours(IMAGES)), theirs(IMAGES).logits, **FP32)
    assert_same(convert(converted, target='hf-vit'), state)


@torch.no_grad()
def test_ours_loads_without_anything_amiss(tmp_path):
    ours = dict(randomise(tiny_vicmae()).state_dict())
    theirs = load_hugging_face(
        transformers.ViTModel, transformers.ViTConfig(**SIZE),
        convert(ours, target='hf-vit', encoder_only=True), tmp_path, add_pooling_layer=False)
    torch.testing.assert_close(
        theirs(IMAGES).last_hidden_state, image_encoder(ours)(IMAGES)[0], **FP32)


def test_pooler_is_listed_or_left_out(tmp_path):
    state = saved(transformers.ViTModel(transformers.ViTConfig(**SIZE)), tmp_path)
    with pytest.raises(ValueError, match=r'no place for 2 of the tensors: pooler\.dense\.'):
        convert(state)
    assert_same(convert(state, encoder_only=True), convert(state, drop=['pooler.']))


@torch.no_grad()
def test_mae_with_its_decoder(tmp_path):
    ours = dict(randomise(tiny_vicmae(decoder=dict(decoder_depth=2))).state_dict())
    state = convert(ours, target='hf-vitmae', drop=['projector.'])
    assert detect_family(state) == 'hf-vitmae'
    theirs = load_hugging_face(
        transformers.ViTMAEForPreTraining, transformers.ViTMAEConfig(**SIZE, **DECODER), state,
        tmp_path)
    latent, _, ids_restore = theirs.vit(IMAGES, noise=NOISE)[:3]
    model = tiny_vicmae(decoder=dict(decoder_depth=2), backbone=dict(mask_ratio=0.5))
    model.load_state_dict(ours)
    model.eval()
    our_latent, _, our_restore = model.backbone(IMAGES, noise=NOISE)
    assert torch.equal(our_restore, ids_restore) and latent.shape[1] == 9
    torch.testing.assert_close(our_latent, latent, **FP32)
    assert isinstance(model.neck, MAEPretrainDecoder)
    torch.testing.assert_close(
        model.neck(our_latent, our_restore), theirs.decoder(latent, ids_restore).logits, **FP32)
    assert_same(convert(state), {key: value for key, value in ours.items()
                                 if not key.startswith('projector.')})


@pytest.mark.parametrize('kind, family', [
    ('ViTForImageClassification', 'hf-vit'), ('ViTMAEForPreTraining', 'hf-vitmae')])
def test_names_in_memory_are_those_of_the_file(kind, family, tmp_path):
    """transformers 5 calls them otherwise in memory, and the decoder's in what it saves."""
    config = transformers.ViTConfig(**SIZE) if family == 'hf-vit' else (
        transformers.ViTMAEConfig(**SIZE, **DECODER))
    model = randomise(getattr(transformers, kind)(config))
    assert detect_family(model.state_dict()) == family
    ours = convert(model.state_dict())
    assert_same(ours, convert(saved(model, tmp_path / 'saved')))
    again = load_hugging_face(
        type(model), config, convert(ours, target=family), tmp_path / 'converted')
    assert_same(again.state_dict(), model.state_dict())


def test_networks_of_others_are_refused():
    swin = transformers.SwinModel(transformers.SwinConfig(
        image_size=32, patch_size=4, window_size=2, embed_dim=16, depths=[1, 1],
        num_heads=[1, 1]))
    with pytest.raises(ValueError, match='It looks like a Swin Transformer'):
        convert(swin.state_dict())
    gated = transformers.Dinov2Model(transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        use_swiglu_ffn=True))
    with pytest.raises(ValueError, match=r"6 of 27 .* to hf-dinov2: .*gate_proj"):
        convert(gated.state_dict())
