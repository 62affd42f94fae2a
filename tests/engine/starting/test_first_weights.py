"""Files of other families start a training as their converted copies do."""
import json
import re

import pytest
import torch
from torch import nn

from tests.checkpoints.conversion.helpers import assert_same, randomise
from tests.checkpoints.conversion.references import VideoEncoder
from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, tiny_config, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, tiny_runner
from vicmae_mm.checkpoints.conversion import convert
from vicmae_mm.engine.starting.first_weights import first_weights
from vicmae_mm.models import VideoViT

PRETRAINED = randomise(tiny_vicmae()).state_dict()
ENCODER = {key: value for key, value in PRETRAINED.items() if key.startswith('backbone.')}
TIMM = convert(ENCODER, target='timm')
SIZES = {part: sum(value.numel() for key, value in PRETRAINED.items() if key.startswith(part))
         for part in ('backbone', 'neck', 'projector')}
HOOKS = [dict(type='vicmae_mm.CheckpointFitHook'),
         dict(type='vicmae_mm.PretrainedFitHook', allow_untrained=True)]


@pytest.fixture
def log(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr('vicmae_mm.engine.starting.first_weights.print_log',
                        lambda line, logger, level=None: lines.append(line))
    return lines


def report(**parts: str) -> str:
    """The line for the log, with the numbers of parameters of our parts."""
    lists = [', '.join(f'{part} {SIZES[part]:,}' for part in parts[kind].split()) or 'nothing'
             for kind in ('loaded', 'new')]
    return f'Loaded parameters: {lists[0]}; new: {lists[1]}; left out: {parts["left_out"]}.'


@pytest.mark.parametrize('family, loaded, new', [
    ('mae', 'backbone neck', 'projector'), ('hf-vitmae', 'backbone neck', 'projector'),
    ('official-vicmae', 'backbone neck projector', ''), ('timm', 'backbone', 'neck projector'),
    ('hf-vit', 'backbone', 'neck projector')])
def test_what_a_family_has_is_loaded(family, loaded, new, log):
    ours = {key: value for key, value in PRETRAINED.items() if key.split('.')[0] in loaded}
    content = dict(model=convert(ours, target=family), optimizer=dict(state={}), epoch=3)
    assert_same(dict(sorted(first_weights(content, 'a.pth', tiny_vicmae()).items())),
                dict(sorted(ours.items())))
    assert log[-1].endswith(report(loaded=loaded, new=new, left_out='nothing'))


@pytest.mark.parametrize('prefix', ['backbone.', '', 'encoder.'])
@pytest.mark.parametrize('wrapped', ['', 'module.', 'model.'])
def test_a_backbone_alone(prefix, wrapped, log):
    content = {wrapped + key: value for key, value in TIMM.items()}
    content[f'{wrapped}head.weight'] = torch.ones(5, 32)
    content[f'{wrapped}head.bias'] = torch.ones(5)
    found = first_weights(content, 'a.pth', tiny_vicmae(), prefix)
    for key, value in ENCODER.items():
        assert torch.equal(found[key.replace('backbone.', prefix, 1)], value)
    assert log[-1].endswith(report(loaded='backbone', new='neck projector', left_out='head 165'))


@pytest.mark.parametrize('prefix, lack', [
    ('encoder.', r"a\.pth has nothing under 'encoder\.'\. The file looks like"),
    ('', r'a\.pth contains none of the parameters\. It looks like')])
def test_a_file_without_the_backbone_is_refused_by_the_prefix_it_should_have(prefix, lack):
    with pytest.raises(ValueError, match=lack):
        first_weights(dict(weight=torch.ones(1)), 'a.pth', tiny_vicmae(), prefix)


def test_our_own_files_stay_as_they_are(log):
    content = dict(state_dict=PRETRAINED, meta=dict(epoch=1))
    assert first_weights(content, 'a.pth', tiny_vicmae()) is PRETRAINED
    assert log == ['a.pth is a ViC-MAE of this package. ' + report(
        loaded='backbone neck projector', new='', left_out='nothing')]
    names = {key.removeprefix('backbone.'): value for key, value in ENCODER.items()}
    assert first_weights(dict(names), 'a.pth', tiny_vicmae(), '') == names


def test_a_decoder_of_another_shape_is_new(log):
    model = tiny_vicmae(decoder=dict(decoder_depth=2))
    found = first_weights(dict(model=convert(PRETRAINED, target='official-vicmae')), 'a', model)
    assert {key.split('.')[0] for key in found} == {'backbone', 'projector'}
    assert log[0].startswith('neck of a is left out: 20 of its 32 parameters match; 12 are missing')
    assert f'left out: neck {SIZES["neck"]:,}.' in log[1]


def test_a_decoder_for_images_of_another_size_has_the_table_of_its_own():
    model = tiny_vicmae(backbone=dict(img_size=2 * IMG_SIZE), decoder=dict(num_patches=64))
    mae = convert(PRETRAINED, target='mae', drop=['projector.'])
    found = first_weights(dict(model=mae), 'a.pth', model)
    assert torch.equal(found['neck.decoder_pos_embed'], model.neck.decoder_pos_embed)
    assert torch.equal(found['neck.mask_token'], PRETRAINED['neck.mask_token'])


def video_vit(**settings):
    model = nn.Module()
    model.backbone = VideoViT(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, num_frames=4,
                              tubelet_size=2, out_type='raw', **settings)
    return model


@torch.no_grad()
@pytest.mark.parametrize('stacked', [False, True])
def test_networks_for_clips(stacked):
    theirs = randomise(VideoEncoder(stacked))
    ours = video_vit(**(dict(with_cls_token=False, separable_position=False) if stacked else {}))
    found = first_weights(dict(model=theirs.state_dict()), 'a.pth', ours)
    ours.load_state_dict(found)
    clips = torch.rand(2, 3, 4, IMG_SIZE, IMG_SIZE)
    torch.testing.assert_close(ours.backbone.eval()(clips), theirs(clips), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r'a network for clips, but a ViCMAEViT takes images'):
        first_weights(dict(model=theirs.state_dict()), 'a.pth', tiny_vicmae())


def test_images_start_a_network_for_clips():
    ours = video_vit()
    ours.load_state_dict(first_weights(dict(TIMM), 'timm.bin', ours))
    assert torch.equal(ours.backbone.layers[1].ln1.bias, ENCODER['backbone.layers.1.ln1.bias'])


@pytest.mark.parametrize('content, message', [
    ({'teacher': TIMM, 'student': TIMM}, r'It contains 2 networks: .*--drop'),
    ({key: value for key, value in TIMM.items() if key != 'pos_embed'},
     r"a\.pth cannot be converted: 1 of timm's tensors are missing: pos_embed"),
    ({**TIMM, 'blocks.0.attn.gate': torch.ones(1)}, r'not belong to timm: blocks\.0\.attn\.gate'),
    ({'epoch': 3}, 'contains no weights')])
def test_other_files_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        first_weights(content, 'a.pth', tiny_vicmae())


def test_heads_of_the_json_file_are_compared(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(dict(num_attention_heads=4)))
    with pytest.raises(ValueError, match=r'has 4 attention heads, .* but the model has 2'):
        first_weights(convert(ENCODER, target='hf-vit'), str(tmp_path / 'a.bin'), tiny_vicmae())


@pytest.mark.parametrize('where', ['load_from', 'init_cfg', 'without_prefix'])
def test_a_run_is_that_of_the_converted_file(where, tmp_path):
    ends = []
    for name, state in (('theirs', TIMM), ('ours', ENCODER)):
        torch.save(dict(model=state) if state is TIMM else dict(state_dict=state),
                   tmp_path / f'{name}.pth')
        model, path = tiny_config(data_preprocessor=PREPROCESSOR), str(tmp_path / f'{name}.pth')
        if where != 'load_from':
            model.backbone.init_cfg = dict(checkpoint=path)
        if where == 'without_prefix':
            model.backbone.init_cfg.update(type='Pretrained', prefix=None)
        runner = tiny_runner(tmp_path / name, HOOKS, 1, model=model,
                             load_from=path if where == 'load_from' else None)
        ends.append(runner.train().state_dict())
        text = next((tmp_path / name).rglob('*.log')).read_text()
        assert re.search(rf'{name}\.pth is a Vision Transformer of .*\. Loaded parameters: backbone'
                         rf' {SIZES["backbone"]:,}; new: neck', text)
        assert re.search(rf'The encoder comes from .*{name}\.pth: 30 tensors\.', text)
    assert_same(*ends)


def public_network(**settings):
    timm = pytest.importorskip('timm')
    return randomise(timm.models.VisionTransformer(
        img_size=7 * PATCH, patch_size=PATCH, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2,
        num_classes=0, **settings)).state_dict()


def test_dinov2_starts_at_another_size_with_its_normalisation(log):
    state = public_network(init_values=1., reg_tokens=2, no_embed_class=True)
    backbone = dict(layer_scale_init_value=1., num_registers=2)
    half = dict(type='vicmae_mm.PairDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3)
    model = tiny_vicmae(backbone=backbone, data_preprocessor=half)
    found = first_weights(state, 'a.pth', model)
    assert_same(found, convert(state, grid=(4, 4)))
    assert 'set its mean=[123.675, 116.28, 103.53] and std=[58.395' in log[0]
    model.load_state_dict(found, strict=False)
    losses = model.loss([torch.randn(3, 3, 32, 32) for _ in range(2)])
    sum(value for key, value in losses.items() if key.startswith('loss')).backward()
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


def test_the_activation_of_the_json_file_is_compared(tmp_path):
    state = public_network(pre_norm=True)
    (tmp_path / 'config.json').write_text('{"hidden_act": "quick_gelu"}')
    name, backbone = str(tmp_path / 'a.pth'), dict(pre_norm=True)
    with pytest.raises(ValueError, match=r"quick_gelu, .*act_cfg\.type='mmpretrain\.QuickGELU'"):
        first_weights(state, name, tiny_vicmae(backbone=backbone))
    backbone['layer_cfgs'] = dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
    first_weights(state, name, tiny_vicmae(backbone=backbone))


def test_why_a_network_cannot_be_a_start():
    state = {'blocks.0.attn.relative_position_bias_table': torch.ones(1)}
    with pytest.raises(ValueError, match=r'a BEiT \(ViCMAEViT has no relative positions\)'):
        first_weights(state, 'a.pth', tiny_vicmae())


@pytest.mark.parametrize('theirs, ours, known', [
    ((2, 3), (3, 2), True), ((2, 8), (4, 4), True), ((4, 4), (2, 8), False),
    ((4, 9), (8, 8), True)])
def test_positions_of_another_grid_of_as_many_patches_are_refused(theirs, ours, known):
    def model(rows, columns):
        return tiny_vicmae(backbone=dict(img_size=(rows * PATCH, columns * PATCH)),
                           decoder=dict(num_patches=(rows, columns)))

    state = model(*theirs).state_dict()
    if not known:
        state['backbone.pos_embed'] = torch.rand_like(state['backbone.pos_embed'])
    timm = convert({key: value for key, value in state.items() if 'backbone.' in key},
                   target='timm')
    message = f'positions of {theirs[0]} x {theirs[1]} patches, but the model has {ours[0]} x'
    with pytest.raises(ValueError, match=message):
        first_weights(dict(timm), 'a.pth', model(*ours))
    if known:
        with pytest.raises(ValueError, match=message):
            first_weights(dict(state_dict=state), 'a.pth', model(*ours))
    assert torch.equal(first_weights(dict(timm), 'a.pth', model(*theirs))['backbone.pos_embed'],
                       state['backbone.pos_embed'])


def test_infinity_in_a_decoder_is_refused():
    broken = dict(PRETRAINED, **{'neck.mask_token': torch.full((1, 1, 16), torch.inf)})
    with pytest.raises(ValueError, match=r'a\.pth: neck\.mask_token is not finite'):
        first_weights(dict(state_dict=broken), 'a.pth', tiny_vicmae(
            decoder=dict(decoder_embed_dim=16)))
