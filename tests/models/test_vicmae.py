"""The algorithm: equations, schedule, baselines and refused configs."""
from functools import partial

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from tests.helpers.models import tiny_vicmae
from vicmae_mm.models import ViCMAE, composition
from vicmae_mm.models.necks.projector import VARIANTS


def pair(num_videos: int = 4, size: int = 32) -> list[torch.Tensor]:
    return [torch.randn(num_videos, 3, size, size) for _ in range(2)]


def fix_masks(model: ViCMAE, noise: torch.Tensor) -> None:
    """Make the encoder use the given noise, row by row of its input."""
    forward = type(model.backbone).forward
    model.backbone.forward = partial(forward, model.backbone, noise=noise)


def test_loss_is_the_papers_sum():
    model, inputs = tiny_vicmae(recon_weight=0.7, contrast_weight=0.3), pair()
    noise = torch.rand(8, 16)
    fix_masks(model, noise)
    losses = model.loss(inputs)

    # The same from the parts, with one encoder pass per frame.
    views = []
    for frame, rows in zip(inputs, noise.chunk(2), strict=True):
        fix_masks(model, rows)
        views.append(model.backbone(frame))
    recon = torch.stack([
        model.head.loss(model.neck(tokens, ids), frame, mask)
        for (tokens, mask, ids), frame in zip(views, inputs, strict=True)
    ]).mean()
    p, z = (nn.functional.normalize(model.projector(tokens[:, 1:].mean(1)))
            for tokens, _, _ in views)
    everything = torch.cat((p, z))
    similarity = (everything @ everything.T / 0.1).masked_fill(torch.eye(8).bool(), -torch.inf)
    positives = torch.cat((torch.arange(4, 8), torch.arange(4)))
    contrast = nn.functional.cross_entropy(similarity, positives)

    torch.testing.assert_close(losses['recon'], recon)
    torch.testing.assert_close(losses['contrast'], contrast)
    torch.testing.assert_close(losses['loss_recon'], 0.7 * recon)
    torch.testing.assert_close(losses['loss_contrast'], 0.3 * contrast)
    assert losses['contrast_weight'] == pytest.approx(0.3)


def test_reconstruct_one_frame():
    inputs, noise = pair(64), torch.rand(128, 16)
    model = tiny_vicmae(contrast_head=None)
    fix_masks(model, noise)
    tokens, mask, ids = model.backbone(torch.cat(inputs))
    squared = (model.neck(tokens, ids) - model.head.construct_target(torch.cat(inputs)))**2
    per_frame = (squared.mean(-1) * mask).sum(1) / mask.sum(1)
    first, second = per_frame.chunk(2)

    model.recon_frames = 'first'
    torch.testing.assert_close(model.loss(inputs)['recon'], first.mean())
    model.recon_frames = 'random'
    torch.manual_seed(3)
    recon = model.loss(inputs)['recon']
    torch.manual_seed(3)
    chosen = torch.where(torch.rand(64) < 0.5, second, first)
    torch.testing.assert_close(recon, chosen.mean())
    assert 10 < (chosen == first).sum() < 54


def with_features(**decoder) -> ViCMAE:
    return tiny_vicmae(
        backbone=dict(img_size=224, patch_size=16),
        decoder=dict(num_patches=196, **decoder),
        head=dict(_delete_=True, type='mmpretrain.MIMHead',
                  loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
        target_generator=dict(type='mmpretrain.HOGGenerator'))


@pytest.mark.parametrize('chunks', [1, 3])
def test_features_of_the_hidden_patches_instead_of_pixels(chunks):
    model, inputs, noise = with_features(predict_feature_dim=108), pair(2, 224), torch.rand(4, 196)
    model.decoder_chunks = chunks
    fix_masks(model, noise)
    tokens, mask, ids = model.backbone(torch.cat(inputs))
    squared = (model.neck(tokens, ids) - model.target_generator(torch.cat(inputs)))**2
    want = (squared.mean(-1) * mask).sum() / mask.sum()
    torch.testing.assert_close(model.loss(inputs)['recon'], want)


def test_features_of_another_shape_than_the_decoders_are_refused():
    with pytest.raises(ValueError, match=r'HOGGenerator returns \(4, 196, 108\).*\(4, 196, 27\)'):
        with_features(predict_feature_dim=27).loss(pair(2, 224))


def test_before_the_schedule_the_projector_is_not_run():
    model = tiny_vicmae()
    model.contrast_scale = 0.0
    losses = model.loss(pair())
    assert 'loss_contrast' not in losses and losses['contrast_weight'] == 0
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(parameter.grad is None for parameter in model.projector.parameters())
    assert model.projector.bn0.num_batches_tracked == 0


def test_half_a_schedule_is_half_lambda():
    model, inputs = tiny_vicmae(contrast_weight=0.4), pair()
    model.contrast_scale = 0.5
    losses = model.loss(inputs)
    torch.testing.assert_close(losses['loss_contrast'], 0.2 * losses['contrast'])


def test_views_have_their_own_batch_statistics_unless_joint():
    inputs = pair()
    for joint, calls in ((False, 2), (True, 1)):
        model = tiny_vicmae(joint_bn=joint)
        model.loss(inputs)
        assert model.projector.bn0.num_batches_tracked == calls


def test_target_projector_takes_the_second_frame():
    model, inputs = tiny_vicmae(
        target_projector=dict(type='vicmae_mm.Projector', in_channels=32)), pair()
    losses = model.loss(inputs)
    losses['loss_contrast'].backward()
    for projector in (model.projector, model.target_projector):
        assert projector.fc0.weight.grad.abs().sum() > 0
        assert projector.bn0.num_batches_tracked == 1


def test_repeated_pairs_of_a_video_are_not_negatives():
    model, (first, second) = tiny_vicmae(decoder=None, head=None), pair()
    torch.manual_seed(1)
    twice = model.loss([first, second, first, second])
    seen = {}
    model.contrast_head.loss = lambda p, z, videos: seen.update(videos=videos) or p.sum()
    model.loss([first, second, first, second])
    assert torch.equal(seen['videos'], torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
    assert torch.isfinite(twice['contrast'])


@pytest.mark.parametrize('mode', ['mean', 'max', 'gem', 'cls'])
def test_every_pooling_reaches_the_encoder(mode):
    model = tiny_vicmae(pooling=dict(mode=mode))
    model.loss(pair())['loss_contrast'].backward()
    assert model.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


def test_mae_baseline_takes_one_frame():
    model = tiny_vicmae(pooling=None, projector=None, contrast_head=None)
    losses = model.loss(pair()[:1])
    assert set(losses) == {'loss_recon', 'recon'}


@pytest.mark.parametrize('head, variant', [('SimSiamHead', 'simsiam'), ('VICRegHead', 'vicreg')])
def test_class_token_baselines_train(head, variant):
    model = tiny_vicmae(
        pooling=dict(mode='cls'), projector=dict(variant=variant),
        contrast_head=dict(_delete_=True, type=f'vicmae_mm.{head}'))
    model.loss(pair())['loss_contrast'].backward()
    assert model.backbone.cls_token.grad.abs().sum() > 0


@pytest.mark.parametrize('backbone, channels', [
    (dict(type='mmaction.ResNet', depth=18, norm_eval=False), 512),
    (dict(type='mmpretrain.ResNet', depth=18), 512),
    (dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=32, pad_small_map=True), 768),
    (dict(type='mmaction.MobileNetV2'), 1280),
])
def test_contrast_alone_with_other_backbones(backbone, channels):
    model = tiny_vicmae(
        backbone=dict(_delete_=True, **backbone), decoder=None, head=None, init_cfg=None,
        pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'),
        projector=dict(in_channels=channels))
    losses = model.loss(pair())
    assert 'recon' not in losses
    losses['loss_contrast'].backward()
    assert all(p.grad is not None for p in model.backbone.parameters() if p.requires_grad)


def test_without_a_projector_the_pooled_tokens_are_contrasted():
    model = tiny_vicmae(projector=None, pooling=dict(mode='cls'))
    (seen, inputs), noise = ({}, pair()), torch.rand(8, 16)
    fix_masks(model, noise)
    model.contrast_head.loss = lambda p, z, videos: seen.update(p=p, z=z) or p.sum()
    model.loss(inputs)
    torch.testing.assert_close(
        torch.cat((seen['p'], seen['z'])), model.backbone(torch.cat(inputs))[0][:, 0])


def test_keys_are_mmpretrains():
    keys = set(tiny_vicmae().state_dict())
    for key in ('backbone.cls_token', 'backbone.layers.0.ln1.weight', 'backbone.ln1.weight',
                'backbone.patch_embed.projection.weight', 'neck.mask_token', 'neck.ln1.weight',
                'neck.decoder_blocks.0.attn.qkv.weight', 'projector.fc0.weight',
                'projector.bn1.running_mean', 'projector.fc2.bias'):
        assert key in keys


def test_weight_decay_groups_are_the_authors():
    """1-D parameters and biases are not decayed; the tokens are (spec: 190 of 190)."""
    model = tiny_vicmae()
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='vicmae_mm.BF16OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, flat_decay_mult=0)))
    decay = {id(g['params'][0]): g['weight_decay'] for g in wrapper.optimizer.param_groups}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected = 0.0 if parameter.ndim <= 1 or name.endswith('.bias') else 0.05
            assert decay[id(parameter)] == expected, name
    assert decay[id(model.backbone.cls_token)] == decay[id(model.neck.mask_token)] == 0.05


def test_linear_layers_start_as_the_authors():
    model = tiny_vicmae()
    for module in (*model.neck.modules(), *model.projector.modules()):
        if isinstance(module, nn.Linear):
            bound = (6 / sum(module.weight.shape))**0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert not module.bias.any()


@pytest.mark.parametrize('overrides, message', [
    (dict(recon_frames='second'), "recon_frames='second' is unknown"),
    (dict(decoder=None), 'decoder and head go together'),
    (dict(decoder=None, head=None, contrast_head=None), 'Nothing to train'),
    (dict(pooling=None), 'needs a pooling'),
    (dict(backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18)), 'masked encoder'),
    (dict(pooling=dict(mode='median')), 'median'),
    (dict(contrast_weight=-1), 'contrast_weight=-1'),
    (dict(contrast_weight=float('nan')), 'contrast_weight=nan must be'),
    (dict(recon_weight=-1.), 'recon_weight=-1.0 must be 0 or more'),
    (dict(projector=dict(in_channels=64)), 'takes 64 channels but the backbone has 32'),
    (dict(projector=dict(in_channels=64, variant='appendixA')), 'takes 64 channels'),
    (dict(target_projector=dict(type='vicmae_mm.Projector', in_channels=16)), 'takes 16 channels'),
    (dict(projector=dict(
        _delete_=True, type='mmpretrain.NonLinearNeck', in_channels=32, hid_channels=8,
        out_channels=8)), 'NonLinearNeck cannot take vectors'),
    (dict(pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling', dim=1),
          projector=None), 'would pool the 32 channels'),
    (dict(pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling')), 'TokenPooling'),
    (dict(pooling=dict(num_extra_tokens=0)), 'num_extra_tokens=1'),
    (dict(decoder=dict(num_patches=9)), r'decoder\.num_patches=9 .* set it to 16'),
    (dict(decoder=dict(embed_dim=64)), r'decoder\.embed_dim=64 .* set it to 32'),
    (dict(decoder=dict(patch_size=4)), r'decoder\.patch_size=4 .* set it to 8'),
    (dict(head=dict(patch_size=4)), r'head\.patch_size=4 .* set it to 8'),
    (dict(decoder=dict(type='mmpretrain.MAEPretrainDecoder')), 'set it to vicmae_mm.MAEDecoder'),
    (dict(decoder=dict(decoder_depth=0)), 'decoder_depth=0: without a block'),
    (dict(backbone=dict(mask_ratio=0)), 'mask_ratio=0 hides nothing'),
    (dict(decoder_chunks=0), 'decoder_chunks=0'),
    (dict(data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor')),
     'ClsDataPreprocessor takes single images'),
    (dict(data_preprocessor=dict(type='mmengine.ImgDataPreprocessor')),
     'ImgDataPreprocessor takes single images'),
    (dict(target_generator=dict(type='mmpretrain.HOGGenerator')),
     'head.type should be mmpretrain.MIMHead with'),
    (dict(target_generator=dict(type='mmpretrain.HOGGenerator'), decoder=None, head=None),
     'target_generator needs a decoder'),
    (dict(head=dict(_delete_=True, type='mmpretrain.MIMHead',
                    loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'))),
     'head.type should be mmpretrain.MIMHead with'),
    (dict(joint_bn=True, target_projector=dict(type='vicmae_mm.Projector', in_channels=32)),
     'joint_bn'),
])
def test_wrong_configs_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny_vicmae(**overrides)


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_check_of_the_widths_leaves_no_trace(variant, monkeypatch):
    drawn = []
    for check in (composition._check_projectors, lambda model: None):
        monkeypatch.setattr(composition, '_check_projectors', check)
        torch.manual_seed(0)
        model = tiny_vicmae(projector=dict(variant=variant))
        drawn.append((torch.rand(3), model.state_dict()))
        assert all(module.training for module in model.modules())
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert all(torch.equal(drawn[0][1][key], drawn[1][1][key]) for key in drawn[0][1])


def test_single_frames_cannot_be_contrasted():
    with pytest.raises(ValueError, match='num_frames=2'):
        tiny_vicmae().loss(pair()[:1])


def test_one_pair_cannot_be_contrasted_even_before_the_schedule():
    model = tiny_vicmae()
    model.contrast_scale = 0.0
    with pytest.raises(ValueError, match='batch_size to 2 or more'):
        model.loss(pair(1))


def test_single_frames_do_not_allow_a_choice_of_frame():
    model = tiny_vicmae(contrast_head=None, recon_frames='first')
    with pytest.raises(ValueError, match="set it to 'both'"):
        model.loss(pair()[:1])


def test_a_backbone_may_return_vectors_but_not_maps():
    vit = dict(
        _delete_=True, type='mmpretrain.VisionTransformer', arch='deit-t', img_size=32,
        patch_size=16, out_type='cls_token')
    contrast = dict(decoder=None, head=None, init_cfg=None, pooling=None)
    model = tiny_vicmae(backbone=vit, projector=dict(in_channels=192), **contrast)
    assert model.loss(pair())['contrast'] > 0
    model = tiny_vicmae(
        backbone={**vit, 'out_type': 'featmap'}, projector=dict(in_channels=192), **contrast)
    with pytest.raises(ValueError, match='GlobalAveragePooling'):
        model.loss(pair())


def test_nothing_to_train_is_reported():
    model = tiny_vicmae(decoder=None, head=None)
    model.contrast_scale = 0.0
    with pytest.raises(ValueError, match='constant'):
        model.loss(pair())
