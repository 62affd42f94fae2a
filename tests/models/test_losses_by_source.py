"""Losses and monitors by source, against those of each source's samples alone."""
from functools import partial

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from tests.helpers.models import tiny_vicmae
from vicmae_mm.engine.hooks.compile_hook import compile_model
from vicmae_mm.models import ViCMAE

SOURCES = ['k400', 'in1k', 'k400', 'in1k', 'in1k']
NAMES = ('in1k', 'k400', 'mit')  # there may be none of a source in a batch
HOG = dict(
    backbone=dict(img_size=224, patch_size=16),
    decoder=dict(num_patches=196, predict_feature_dim=108),
    head=dict(_delete_=True, type='mmpretrain.MIMHead',
              loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(type='mmpretrain.HOGGenerator'))


def samples(sources: list[str]) -> list[DataSample]:
    return [DataSample(metainfo=dict(source=each, sources=NAMES)) for each in sources]


def means(losses: dict[str, Tensor]) -> dict[str, float]:
    """By name and source, as GlobalLogProcessor logs them."""
    return {name.removesuffix('/sum'): float(value) / float(losses[f'{name[:-3]}share'])
            for name, value in losses.items()
            if name.endswith('/sum') and losses[f'{name[:-3]}share']}


def fix_masks(model: ViCMAE, noise: Tensor) -> None:
    forward = type(model.backbone).forward
    model.backbone.forward = partial(forward, model.backbone, noise=noise)


@pytest.mark.parametrize('options, size, views', [
    (dict(), 32, 2), (dict(), 32, 4), (dict(decoder_chunks=3), 32, 2),
    (dict(recon_frames='first'), 32, 4), (HOG, 224, 2),
    (dict(contrast_head=None, pooling=None, projector=None), 32, 1)])
def test_reconstruction_is_that_of_the_samples_alone(options, size, views):
    if 'decoder_chunks' in options:  # vmap where activations are recomputed
        pytest.importorskip('torch', minversion='2.5')
    model = tiny_vicmae(**options)
    inputs = [torch.randn(5, 3, size, size) for _ in range(views)]
    noise = torch.rand(views, 5, model.backbone.num_patches)
    fix_masks(model, noise.flatten(0, 1))
    torch.manual_seed(0)
    plain = model.loss(inputs)
    torch.manual_seed(0)
    got = model.loss(inputs, samples(SOURCES))
    for name, value in plain.items():
        assert torch.equal(value, got[name]), name  # not a bit changes
    names = ('recon', 'contrast', 'pair_accuracy') if model.contrast_head else ('recon', )
    # The same names in every batch and process: that of the absent source, too.
    assert got.keys() - plain.keys() == {
        f'{name}/{source}/{kind}'
        for name in names for source in NAMES for kind in ('sum', 'share')}
    assert [float(got[f'recon/{source}/share']) for source in NAMES] == pytest.approx([.6, .4, 0])
    assert means(got).keys() == {f'{name}/{source}' for name in names for source in NAMES[:2]}
    for source in NAMES[:2]:
        rows = [row for row, each in enumerate(SOURCES) if each == source]
        fix_masks(model, noise[:, rows].flatten(0, 1))
        alone = model.loss([view[rows] for view in inputs])
        assert means(got)[f'recon/{source}'] == pytest.approx(float(alone['recon']), rel=1e-6)
        assert not got[f'recon/{source}/sum'].requires_grad


@pytest.mark.parametrize('views', [2, 4])
@pytest.mark.parametrize('symmetric', [True, False])
def test_contrast_and_accuracy_are_means_over_the_pairs_of_a_source(symmetric, views):
    model = tiny_vicmae(contrast_head=dict(symmetric=symmetric))
    seen: dict[str, Tensor] = {}
    project = model._project
    model._project = lambda pooled: seen.setdefault('pz', project(pooled))
    got = means(model.loss([torch.randn(5, 3, 32, 32) for _ in range(views)], samples(SOURCES)))
    p, z = (nn.functional.normalize(each.detach().double(), dim=1) for each in seen['pz'])
    losses: dict[str, list[float]] = {}
    hits: dict[str, list[float]] = {}
    for own, other in ((p, z), (z, p)) if symmetric else ((p, z), ):
        for n, anchor in enumerate(own):
            others = [k for k in range(len(own)) if k % 5 != n % 5]
            logits = torch.stack([anchor @ other[n], *(anchor @ other[k] for k in others),
                                  *(anchor @ own[k] for k in others)]) / 0.1
            losses.setdefault(SOURCES[n % 5], []).append(float(logits.logsumexp(0) - logits[0]))
    for n, anchor in enumerate(p):
        hits.setdefault(SOURCES[n % 5], []).append(float((z @ anchor).argmax() == n))
    for source in NAMES[:2]:
        for name, values in (('contrast', losses[source]), ('pair_accuracy', hits[source])):
            assert got[f'{name}/{source}'] == pytest.approx(sum(values) / len(values), 1e-5)


def test_heads_that_are_no_mean_over_pairs_log_no_contrast_by_source():
    model = tiny_vicmae(contrast_head=dict(_delete_=True, type='vicmae_mm.VICRegHead'))
    got = means(model.loss([torch.randn(5, 3, 32, 32) for _ in range(2)], samples(SOURCES)))
    assert 'recon/in1k' in got and 'pair_accuracy/in1k' in got and 'contrast/in1k' not in got


def test_compiled_decoders_log_by_source():
    pytest.importorskip('torch', minversion='2.5')
    model, inputs = tiny_vicmae(), [torch.randn(5, 3, 32, 32) for _ in range(2)]
    fix_masks(model, torch.rand(10, 16))
    want = model.loss(inputs, samples(SOURCES))
    compile_model(model, backend='eager')
    got = model.loss(inputs, samples(SOURCES[::-1]))
    torch.testing.assert_close(got['recon'], want['recon'])
    assert means(got)['recon/k400'] != means(want)['recon/k400']


def test_names_that_mmengine_would_sum_and_samples_without_a_source_are_refused():
    model, inputs = tiny_vicmae(), [torch.randn(2, 3, 32, 32) for _ in range(2)]
    for batch in ([DataSample(metainfo=dict(source='gloss', sources=('gloss', )))] * 2,
                  [*samples(['k400']), DataSample()], [DataSample(), *samples(['k400'])]):
        with pytest.raises(ValueError, match='cannot be logged'):
            model.loss(inputs, batch)
    assert 'recon/k400/sum' not in model.loss(inputs, [DataSample(), DataSample()])
    assert 'recon' in model.loss(inputs, torch.arange(2))  # as other pipelines collate them


def test_segments_of_a_video_and_sources_reach_the_head():
    model = tiny_vicmae(contrast_head=dict(same_video='left_out', across_sources=False))
    batch = [torch.randn(4, 3, 32, 32) for _ in range(4)]
    every = samples(['k400', 'in1k', 'k400', 'in1k'])
    for sample, video in zip(every, (3, 4, 5, 4), strict=True):
        sample.set_metainfo(dict(video_id=video))
    seen = []
    loss = model.contrast_head.loss
    model.contrast_head.loss = lambda p, z, videos: seen.append(videos) or loss(p, z, videos)
    model.loss(batch, every)
    assert seen == [2 * [(3, 1), (4, 0), (5, 1), (4, 0)]]
    model.contrast_scale = 0.  # before the contrast begins
    with pytest.raises(ValueError, match='the video_id of vicmae_mm'):
        model.loss(batch, samples(SOURCES[:4]))
