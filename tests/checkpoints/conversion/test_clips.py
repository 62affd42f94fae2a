"""Networks for clips: MAE-ST and VideoMAE, of their authors and of transformers."""
import pytest
import torch
from mmaction.models import TimeSformerHead

from tests.checkpoints.conversion.helpers import (
    FP32,
    FP64,
    assert_same,
    detect_family,
    load_hugging_face,
    load_part,
    randomise,
    video_encoder,
)
from tests.checkpoints.conversion.references import VideoEncoder, sinusoid
from tests.helpers.models import IMG_SIZE, PATCH, WIDTH
from vicmae_mm.checkpoints.conversion import convert, convert_with_report

CLIPS = torch.randn(2, 3, 4, IMG_SIZE, IMG_SIZE, generator=torch.Generator().manual_seed(1))
# of VideoMAE: no class token, one table for space and time, for clips of this size
JOINT = dict(with_cls_token=False, separable_position=False)
SIZE = dict(num_frames=4, img_size=IMG_SIZE)


@torch.no_grad()
@pytest.mark.parametrize('stacked, family', [(False, 'mae_st'), (True, 'videomae')])
def test_tokens_of_the_authors_networks(stacked, family):
    theirs = randomise(VideoEncoder(stacked).double())
    state = dict(theirs.state_dict())
    assert detect_family(state) == family
    converted = convert(state, **SIZE)
    ours = video_encoder(converted, **(JOINT if stacked else {}))
    # sinusoids are kept in fp32, whatever the network computes in: the two agree bit for bit
    if stacked:
        assert torch.equal(converted['backbone.pos_embed'], sinusoid(32, WIDTH)[None].double())
    torch.testing.assert_close(ours(CLIPS.double()), theirs(CLIPS.double()), **FP64)
    assert_same(convert(converted, target=family), state)


def test_fine_tuned_mae_st():
    state = dict(randomise(VideoEncoder(stacked=False)).state_dict())
    state.update({'head.weight': torch.randn(5, WIDTH), 'head.bias': torch.randn(5)})
    ours = convert(state)
    assert torch.equal(ours['cls_head.fc_cls.weight'], state['head.weight'])
    assert_same(convert(ours, target='mae_st'), state)
    # the norm may stand after the pooling here; both at once have no place there
    pooled = {key.replace('backbone.ln1', 'backbone.ln2'): value for key, value in ours.items()}
    assert_same(convert(pooled, target='mae_st'), state)
    with pytest.raises(ValueError, match=r'no place for 2 of .*: backbone\.ln2\.weight\|bias'):
        convert({**ours, **pooled}, target='mae_st')


@pytest.mark.parametrize('family, prefix, decoder', [
    ('mae_st', '', ['mask_token', 'decoder_blocks.0.attn.q.weight', 'decoder_pos_embed_class']),
    ('videomae', 'encoder.', ['mask_token', 'encoder_to_decoder.weight', 'decoder.norm.bias']),
])
def test_pre_trained_with_its_decoder(family, prefix, decoder):
    encoder = randomise(VideoEncoder(stacked=family == 'videomae')).state_dict()
    state = {prefix + key: value for key, value in encoder.items()}
    state.update({key: torch.zeros(2) for key in decoder})
    assert detect_family(state) == family
    with pytest.raises(ValueError, match=f'no place for 3 of the tensors: {decoder[0]}, '):
        convert(state, **SIZE)
    result = convert_with_report(state, encoder_only=True, **SIZE)
    assert result.left_out == decoder
    assert_same(convert(result.state, target=family), dict(encoder))


@torch.no_grad()
@pytest.mark.parametrize('family', ['videomae', 'hf-videomae'])
def test_bias_of_keys_is_left_out_without_effect(family):
    """Softmax does not see it: it adds the same to all keys of a query."""
    state = convert(dict(randomise(VideoEncoder(stacked=True).double()).state_dict()), **SIZE)
    for layer in range(2):
        state[f'backbone.layers.{layer}.attn.qkv.bias'][WIDTH:2 * WIDTH] = torch.randn(WIDTH)
    result = convert_with_report(state, target=family)
    assert sum('of the keys' in name for name in result.left_out) == 2
    back = convert(result.state, **SIZE)
    assert not torch.equal(back['backbone.layers.0.attn.qkv.bias'],
                           state['backbone.layers.0.attn.qkv.bias'])
    clips = CLIPS.double()
    torch.testing.assert_close(
        video_encoder(back, **JOINT)(clips), video_encoder(state, **JOINT)(clips), **FP64)


def test_learned_positions_have_no_place_in_videomae():
    state = convert(dict(VideoEncoder(stacked=True).state_dict()), **SIZE)
    state['backbone.pos_embed'][0, 3, 5] += 1e-3
    with pytest.raises(ValueError, match="table is not VideoMAE's fixed one"):
        convert(state, target='videomae')


def test_size_must_be_a_multiple_of_the_tubelet():
    state = dict(VideoEncoder(stacked=True).state_dict())
    message = '5 frames of 32 px cannot be divided into tubelets of 2 frames'
    with pytest.raises(ValueError, match=message):
        convert(state, num_frames=5, img_size=IMG_SIZE)
    with pytest.raises(ValueError, match=r'^0 frames of 32 px cannot be divided'):
        convert(state, num_frames=0, img_size=IMG_SIZE)


# --- transformers --------------------------------------------------------------------------

def hugging_face(kind: str, **settings):
    transformers = pytest.importorskip('transformers')
    config = transformers.VideoMAEConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=IMG_SIZE, patch_size=PATCH, num_frames=4, layer_norm_eps=1e-6, num_labels=5,
        decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=32, **settings)
    return config, randomise(getattr(transformers, kind)(config))


@torch.no_grad()
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, FP32), (torch.float64, FP64)])
def test_tokens_of_hugging_face(dtype, tolerance):
    _, theirs = hugging_face('VideoMAEForVideoClassification', use_mean_pooling=False)
    theirs = theirs.to(dtype)
    ours = video_encoder(convert(theirs.state_dict(), **SIZE), **JOINT)
    clips = CLIPS.to(dtype)
    torch.testing.assert_close(
        ours(clips), theirs.videomae(clips.transpose(1, 2)).last_hidden_state, **tolerance)


@torch.no_grad()
def test_classes_of_hugging_face(tmp_path):
    config, theirs = hugging_face('VideoMAEForVideoClassification')
    assert detect_family(theirs.state_dict()) == 'hf-videomae'
    converted = convert(theirs.state_dict(), **SIZE)
    ours = video_encoder(converted, out_type='avg_featmap', **JOINT)
    head = load_part(TimeSformerHead(num_classes=5, in_channels=WIDTH), converted, 'cls_head.')
    logits = theirs(CLIPS.transpose(1, 2)).logits
    torch.testing.assert_close(head(ours(CLIPS)), logits, **FP32)
    back = convert(converted, target='hf-videomae')
    again = load_hugging_face(type(theirs), config, back, tmp_path)
    assert_same(again.state_dict(), theirs.state_dict())
    assert_same(convert(convert(back, **SIZE), target='hf-videomae'), back)


def test_pre_trained_by_hugging_face():
    _, theirs = hugging_face('VideoMAEForPreTraining', use_mean_pooling=False)
    with pytest.raises(ValueError, match=r'mask_token, encoder_to_decoder\.weight, decoder\.'):
        convert(theirs.state_dict())
    ours = convert(theirs.state_dict(), encoder_only=True, **SIZE)
    video_encoder(ours, **JOINT)
    assert convert(ours, target='videomae').keys() == VideoEncoder(stacked=True).state_dict().keys()
