"""MultiViewTSNHead: the mean of the views' softmax, which mmaction2's head cannot give."""
import pytest
import torch
from mmaction.structures import ActionDataSample

from vicmae_mm.registry import MODELS

SEGMENTS, VIEWS, CLASSES, WIDTH = 4, 6, 5, 8


def build(kind: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    head = MODELS.build(dict(
        type=kind, num_classes=CLASSES, in_channels=WIDTH, spatial_type=None,
        average_clips='prob', **options)).eval()
    torch.nn.init.normal_(head.fc_cls.weight)
    return head


def scores(head: torch.nn.Module, features: torch.Tensor, videos: int) -> torch.Tensor:
    samples = [ActionDataSample() for _ in range(videos)]
    with torch.no_grad():
        head.predict(features, samples, num_segs=len(features) // videos)
    return torch.stack([sample.pred_score for sample in samples])


def brute_force(head: torch.nn.Module, features: torch.Tensor, videos: int) -> torch.Tensor:
    """Loops over videos and views; the features are ordered view by view."""
    frames = iter(features)
    result = []
    for _ in range(videos):
        views = []
        for _ in range(VIEWS):
            mean = sum(next(frames) for _ in range(SEGMENTS)) / SEGMENTS
            views.append((head.fc_cls.weight @ mean + head.fc_cls.bias).softmax(dim=0))
        result.append(sum(views) / VIEWS)
    return torch.stack(result).detach()


def test_mean_over_views_of_the_softmax():
    features = torch.randn(2 * VIEWS * SEGMENTS, WIDTH)
    ours = build('vicmae_mm.MultiViewTSNHead', num_segments=SEGMENTS)
    expected = brute_force(ours, features, videos=2)
    # fp32 sums of a few numbers below 10 in a different order
    torch.testing.assert_close(scores(ours, features, 2), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        scores(build('mmaction.TSMHead', num_segments=SEGMENTS), features, 2), expected,
        atol=1e-6, rtol=0)  # TSM's takes the mean of a view's logits: the same without dropout


def test_stock_head_averages_before_the_softmax():
    features = torch.randn(2 * VIEWS * SEGMENTS, WIDTH)
    stock = build('mmaction.TSNHead')
    got = scores(stock, features, 2)
    mean = features.view(2, -1, WIDTH).mean(dim=1)
    torch.testing.assert_close(
        got, stock.fc_cls(mean).softmax(dim=1).detach(), atol=1e-6, rtol=0)
    assert (got - brute_force(stock, features, videos=2)).abs().max() > 0.05


def test_one_view_and_training_equal_the_stock_head():
    features = torch.randn(3 * SEGMENTS, WIDTH)
    ours = build('vicmae_mm.MultiViewTSNHead', num_segments=SEGMENTS)
    stock = build('mmaction.TSNHead')
    assert torch.equal(scores(ours, features, 3), scores(stock, features, 3))
    samples = [ActionDataSample().set_gt_label(n) for n in range(3)]
    losses = [head.loss(features, samples, num_segs=SEGMENTS)['loss_cls'] for head in (ours, stock)]
    assert torch.equal(*losses)


def test_feature_maps_are_pooled():
    maps = torch.randn(VIEWS * SEGMENTS, WIDTH, 3, 2)
    pooling = build('vicmae_mm.MultiViewTSNHead', num_segments=SEGMENTS)
    pooling.avg_pool = torch.nn.AdaptiveAvgPool2d(1)
    torch.testing.assert_close(
        scores(pooling, maps, 1), brute_force(pooling, maps.mean(dim=(2, 3)), 1),
        atol=1e-6, rtol=0)


def test_frames_that_cannot_be_divided_into_views_are_refused():
    head = build('vicmae_mm.MultiViewTSNHead', num_segments=SEGMENTS)
    with pytest.raises(ValueError, match='10 frames per video cannot be divided into views'):
        head(torch.randn(10, WIDTH), num_segs=10)
