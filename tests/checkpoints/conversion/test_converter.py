"""Every tensor has its place in the other family, and a round trip is bit-identical."""
import pytest
import torch

from tests.checkpoints.conversion.helpers import assert_same, detect_family, randomise
from tests.helpers.models import TINY_ARCH, tiny_vicmae
from vicmae_mm.checkpoints.conversion import convert, convert_with_report

# One name of each kind that was seen in the authors' files.
OFFICIAL = {
    'cls_token': 'backbone.cls_token',
    'pos_embed': 'backbone.pos_embed',
    'patch_embed.proj.weight': 'backbone.patch_embed.projection.weight',
    'blocks.1.norm1.bias': 'backbone.layers.1.ln1.bias',
    'blocks.0.attn.qkv.weight': 'backbone.layers.0.attn.qkv.weight',
    'blocks.0.attn.proj.bias': 'backbone.layers.0.attn.proj.bias',
    'blocks.0.norm2.weight': 'backbone.layers.0.ln2.weight',
    'blocks.0.mlp.fc1.weight': 'backbone.layers.0.ffn.layers.0.0.weight',
    'blocks.1.mlp.fc2.weight': 'backbone.layers.1.ffn.layers.1.weight',
    'norm.weight': 'backbone.ln1.weight',
    'mask_token': 'neck.mask_token',
    'decoder_pos_embed': 'neck.decoder_pos_embed',
    'decoder_embed.weight': 'neck.decoder_embed.weight',
    'decoder_blocks.0.norm2.weight': 'neck.decoder_blocks.0.ln2.weight',
    'decoder_blocks.0.mlp.fc1.bias': 'neck.decoder_blocks.0.ffn.layers.0.0.bias',
    'decoder_norm.bias': 'neck.ln1.bias',
    'decoder_pred.weight': 'neck.decoder_pred.weight',
    'projector.0.weight': 'projector.fc0.weight',
    'projector.1.running_mean': 'projector.bn0.running_mean',
    'projector.3.bias': 'projector.fc1.bias',
    'projector.4.num_batches_tracked': 'projector.bn1.num_batches_tracked',
    'projector.6.weight': 'projector.fc2.weight',
}


@pytest.fixture(scope='module')
def vicmae() -> dict:
    return dict(randomise(tiny_vicmae()).state_dict())


def test_names_of_the_authors(vicmae):
    official = convert(vicmae, target='official-vicmae')
    assert len(official) == len(vicmae)
    for theirs, ours in OFFICIAL.items():
        assert torch.equal(official[theirs], vicmae[ours]), theirs


def test_full_size_has_the_270_tensors_of_the_authors():
    arch = dict(TINY_ARCH, num_layers=12)
    model = tiny_vicmae(backbone=dict(arch=arch), decoder=dict(decoder_depth=8))
    official = convert(model.state_dict(), target='official-vicmae')
    assert len(official) == 270
    assert {'blocks.11.mlp.fc2.bias', 'decoder_blocks.7.attn.qkv.weight'} <= official.keys()


@pytest.mark.parametrize('target, options, parts', [
    ('official-vicmae', {}, {'backbone', 'neck', 'projector'}),
    ('official-vicmae', dict(encoder_only=True), {'backbone'}),
    ('mae', dict(drop=['projector.']), {'backbone', 'neck'}),
    ('hf-vitmae', dict(drop=['projector.']), {'backbone', 'neck'}),
    ('timm', dict(encoder_only=True), {'backbone'}),
    ('hf-vit', dict(encoder_only=True), {'backbone'}),
    ('vicmae_mm', {}, {'backbone', 'neck', 'projector'}),
])
def test_there_and_back(vicmae, target, options, parts):
    theirs = convert(vicmae, target=target, **options)
    back = convert(theirs)
    assert_same(back, {key: value for key, value in vicmae.items()
                       if key.partition('.')[0] in parts})
    if target not in ('official-vicmae', 'vicmae_mm'):  # alone, its encoder is timm's
        assert detect_family(theirs) == target
    assert_same(convert(back, target=target), theirs)


def test_half_precision_stays(vicmae):
    half = {key: value.half() if value.is_floating_point() else value
            for key, value in vicmae.items()}
    assert_same(convert(convert(half, target='official-vicmae')), half)


def test_split_tensors_have_memory_of_their_own(vicmae):
    theirs = convert(vicmae, target='hf-vit', encoder_only=True)
    query = theirs['encoder.layer.0.attention.attention.query.weight']
    assert query.untyped_storage().nbytes() == query.numel() * 4


@pytest.mark.parametrize('target', ['mae', 'timm', 'hf-vit', 'hf-vitmae'])
def test_what_has_no_place_is_listed(vicmae, target):
    with pytest.raises(ValueError, match=f'{target} has no place for') as caught:
        convert(vicmae, target=target)
    message = str(caught.value)
    for name in ('projector.fc0.weight|bias', 'projector.bn1.weight|bias|running_mean',
                 *(['neck.decoder_blocks.0.attn.qkv'] if 'mae' not in target else [])):
        assert name in message
    assert '--encoder-only' in message and '--drop' in message


def test_other_parts_of_ours_are_listed():
    pooled = tiny_vicmae(pooling=dict(mode='gem')).state_dict()
    (extra, ) = pooled.keys() - tiny_vicmae().state_dict().keys()
    with pytest.raises(ValueError, match=f'no place for 1 of the tensors: {extra}'):
        convert(pooled, target='official-vicmae')
    result = convert_with_report(pooled, target='official-vicmae', drop=[extra])
    assert result.left_out == [extra]
    assert result.parts.keys() == {'backbone', 'neck', 'projector'}


def test_projector_of_another_shape_is_not_the_authors():
    short = tiny_vicmae(projector=dict(variant='section3.3')).state_dict()
    with pytest.raises(ValueError, match=r"2 of official-vicmae's tensors are missing: "
                       r'projector\.6\.weight|bias'):
        convert(short, target='official-vicmae')


@pytest.mark.parametrize('lost, named', [
    ('blocks.1.mlp.fc1.bias', r'1 of .* missing: blocks\.1\.mlp\.fc1\.bias\.'),
    ('pos_embed', 'missing: pos_embed'),
    ('decoder_pred.weight', r'missing: decoder_pred\.weight'),
])
def test_a_missing_tensor_is_named(vicmae, lost, named):
    official = convert(vicmae, target='official-vicmae')
    del official[lost]
    with pytest.raises(ValueError, match=named):
        convert(official)


@pytest.mark.parametrize('extra, named', [
    ('blocks.0.ls1.gamma', r"1 of \d+ tensors do not belong to official-vicmae: blocks\.0\.ls1"),
    ('blocks.x.norm1.weight', 'do not belong to official-vicmae'),
])
@pytest.mark.parametrize('encoder_only', [False, True])
def test_an_unknown_tensor_is_named(vicmae, extra, named, encoder_only):
    official = dict(convert(vicmae, target='official-vicmae'), **{extra: torch.zeros(2)})
    with pytest.raises(ValueError, match=named):
        convert(official, encoder_only=encoder_only)


def test_images_and_clips_are_not_mixed_up(vicmae):
    for target in ('mae_st', 'videomae', 'hf-videomae'):
        message = f'{target} networks are for clips .* VideoViT accepts'
        with pytest.raises(ValueError, match=message):
            convert(vicmae, target=target, encoder_only=True)
    timm = convert(vicmae, target='timm', encoder_only=True)
    timm['patch_embed.proj.weight'] = timm['patch_embed.proj.weight'][:, :, None]
    with pytest.raises(ValueError, match=r'timm networks are for images .* \(5 axes\)'):
        convert(timm)


@pytest.mark.parametrize('options, message', [
    (dict(target='caffe'),
     "'caffe' is not a family of checkpoints: choose from vicmae_mm, official-vicmae, mae_st, "),
    (dict(source='resnet'), "'resnet' is not a family"),
    (dict(source='timm'), "do not belong to timm: backbone.cls_token"),
    (dict(drop=['pooler.']), "No tensor to drop has a name that begins with 'pooler.'"),
])
def test_wrong_arguments(vicmae, options, message):
    with pytest.raises(ValueError) as caught:
        convert(vicmae, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize('keys, words', [
    (['layer1.0.conv1.weight'],
     'a ResNet. Families that can be converted: vicmae_mm, official-vicmae'),
    (['layers.0.blocks.0.norm1.weight'], 'a Swin Transformer'),
    (['w', 'b'], r'an unknown network \(its parameters are called w, b, ...\)'),
])
def test_other_networks_are_refused_by_name(keys, words):
    state = {key: torch.zeros(1) for key in keys}
    with pytest.raises(ValueError, match=f'It looks like {words}'):
        convert(state)
    with pytest.raises(ValueError, match=f'no encoder of vicmae_mm in it: it looks like '
                       f'{words.partition(".")[0]}'):
        convert(state, source='vicmae_mm')


def test_a_tensor_may_not_be_there_twice(vicmae):
    theirs = convert(vicmae, target='hf-vit', encoder_only=True)
    theirs['vit.embeddings.cls_token'] = theirs['embeddings.cls_token']
    with pytest.raises(ValueError, match=r'vit\.embeddings\.cls_token occurs twice'):
        convert(theirs)


def test_a_network_under_a_prefix(vicmae):
    timm = convert(vicmae, target='timm', encoder_only=True)
    both = {f'{name}.backbone.{key}': value for name in ('student', 'teacher')
            for key, value in timm.items()}
    with pytest.raises(ValueError, match='It contains 2 networks'):
        convert(both)
    result = convert_with_report(both, drop=['student.'])
    assert_same(result.state, convert(timm))
    assert result.source == 'timm' and len(result.left_out) == len(timm)
    wrapped = {f'model.{key}': value for key, value in timm.items()} | {'loss.scale': torch.ones(1)}
    with pytest.raises(ValueError, match=r'has no place for 1 of the tensors: loss\.scale'):
        convert(wrapped)
    assert_same(convert(wrapped, encoder_only=True), convert(timm))
    assert_same(convert(wrapped, 'timm', encoder_only=True), convert(timm))
