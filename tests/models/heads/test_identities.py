"""Which pairs are negatives, by video and by source: eq. 7 with masks by loops."""
import itertools
from types import SimpleNamespace

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dist import get_rank, get_world_size
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.distributed import run_distributed, step
from vicmae_mm.datasets.transforms.packing import video_id
from vicmae_mm.models.heads import InfoNCEHead, info_nce_head

SAMPLES, PAIRS, CHANNELS, TEMPERATURE = 8, 2, 5, 0.3  # two pairs of each sample
# Of 4 processes, the first and the third have one video each.
VIDEOS = [0, 0, 1, 2, 1, 1, 0, 3]
SOURCES = ['k400', 'in1k', 'in1k', 'k400', 'in1k', 'in1k', 'mit', 'in1k']
OPTIONS = [dict(same_video=same, across_sources=across, negatives=negatives, symmetric=symmetric,
                gather=gather)
           for same, across in itertools.product(('negatives', 'left_out'), (True, False))
           for negatives, symmetric, gather in (
               ('both', True, True), ('target', False, True), ('both', True, False))]


def sample(video: int, source: str | None = None) -> DataSample:
    meta = dict(video_id=video_id(f'{video}.mp4'))
    if source:
        meta.update(source=source, sources=('in1k', 'k400', 'mit'))
    return DataSample(metainfo=meta)


def batch() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SAMPLES, PAIRS, CHANNELS, dtype=torch.float64, generator=generator)
            for _ in range(2)]


class Loss(nn.Module):
    """The head on this process's samples, pair by pair as the model stacks them."""

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.head = InfoNCEHead(temperature=TEMPERATURE, **options)
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, online: Tensor, target: Tensor) -> Tensor:
        number = len(online)
        own = slice(get_rank() * number, (get_rank() + 1) * number)
        samples = [sample(*each) for each in zip(VIDEOS[own], SOURCES[own], strict=True)]
        videos = torch.arange(number).repeat(PAIRS)
        if self.head.needs_identities:
            videos = self.head.identify(samples, number) * PAIRS
        stacked = ((self.scale * each).transpose(0, 1).flatten(0, 1) for each in (online, target))
        return self.head.loss(*stacked, videos)


def by_loops(online: Tensor, target: Tensor, world: int, same_video: str, across_sources: bool,
             negatives: str, symmetric: bool, gather: bool) -> Tensor:
    """Eq. 7, one anchor and one candidate at a time."""
    branches = [F.normalize(each, dim=-1) for each in (online, target)]
    share, losses = SAMPLES // world, []
    for own, n, p in itertools.product(range(1 + symmetric), range(SAMPLES), range(PAIRS)):
        anchor = branches[own][n, p]
        positive = (anchor @ branches[1 - own][n, p] / TEMPERATURE).exp()
        denominator = positive
        for k in range(SAMPLES):
            if (k == n or (not gather and k // share != n // share)
                    or (same_video == 'left_out' and VIDEOS[k] == VIDEOS[n])
                    or (not across_sources and SOURCES[k] != SOURCES[n])):
                continue
            for branch, q in itertools.product((0, 1) if negatives == 'both' else (1 - own, ),
                                               range(PAIRS)):
                denominator = denominator + (anchor @ branches[branch][k, q] / TEMPERATURE).exp()
        losses.append(-(positive / denominator).log())
    return torch.stack(losses).mean()


def all_options(at_once: int) -> list[dict[str, Tensor]]:
    info_nce_head.AT_ONCE = at_once
    # Without gathering, the two samples of a process may have no negatives.
    return [step(Loss(options), *batch()) for options in OPTIONS
            if get_world_size() < 4 or options['gather']]


# At once: all anchors, three of them, or one.
@pytest.mark.parametrize('world, at_once', [
    (1, 2**26), (1, 2 * 3 * 16), (1, 1), (2, 2**26), (2, 2 * 3 * 16), (4, 2**26), (4, 1)])
def test_equals_the_equation_with_its_gradient(world: int, at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(info_nce_head, 'AT_ONCE', at_once)
    results = [all_options(at_once)] if world == 1 else run_distributed(
        all_options, world, at_once)
    options = [each for each in OPTIONS if world < 4 or each['gather']]
    for *ranks, each in zip(*results, options, strict=True):
        leaves = [x.requires_grad_() for x in batch()]
        want = by_loops(*leaves, world, **each)
        want.backward()
        for got in ranks:
            torch.testing.assert_close(got['loss'], want.detach(), rtol=1e-12, atol=0)
            for name, leaf in zip(('input 0', 'input 1'), leaves, strict=True):
                torch.testing.assert_close(got[name], leaf.grad, rtol=1e-10, atol=1e-14)


def test_the_default_gathers_no_identities_and_has_the_same_bits(monkeypatch) -> None:
    gathered = []
    monkeypatch.setattr(info_nce_head, 'gather_with_grad', lambda x: gathered.append(x) or x)
    online, target = (x.flatten(0, 1).float().requires_grad_() for x in batch())
    head = InfoNCEHead()
    loss = head.loss(online, target)
    loss.backward()
    assert len(gathered) == 1 and not head.needs_identities
    p, z = (F.normalize(x.detach(), dim=1) for x in (online, target))
    losses = []
    for a, b in ((p, z), (z, p)):
        own = (a @ a.T).masked_fill(torch.eye(len(a)).bool(), -torch.inf)
        losses.append(F.cross_entropy(torch.cat([a @ b.T, own], 1) / 0.1, torch.arange(len(a))))
    assert torch.equal(loss.detach(), (losses[0] + losses[1]) / 2)


@pytest.mark.parametrize('at_once, parts', [(2**26, [16, 16]), (2 * 16 * 6, [6, 6, 4] * 2)])
def test_losses_of_pairs_average_to_the_loss(at_once, parts, monkeypatch) -> None:
    monkeypatch.setattr(info_nce_head, 'AT_ONCE', at_once)
    head = InfoNCEHead()
    loss = head.loss(*(x.flatten(0, 1) for x in batch()))
    assert [len(each) for each in head.pair_losses] == parts
    torch.testing.assert_close(torch.cat(head.pair_losses).mean(), loss, rtol=1e-12, atol=0)


def test_pairs_without_negatives_add_nothing(monkeypatch) -> None:
    head = InfoNCEHead(same_video='left_out', across_sources=False)
    online, target = (x.flatten(0, 1)[:4].requires_grad_() for x in batch())
    # Nothing is read back from the device, which would wait for it.
    monkeypatch.setattr(Tensor, 'tolist', None)
    monkeypatch.setattr(Tensor, 'item', None)
    loss = head.loss(online, target, [(1, 0), (1, 0), (1, 1), (1, 1)])
    loss.backward()
    monkeypatch.undo()
    assert loss == 0 and not online.grad.any() and not target.grad.any()
    rest = head.loss(online, target, [(1, 0), (2, 0), (1, 1), (1, 1)])
    assert rest > 0
    torch.testing.assert_close(head.loss(online[:2], target[:2], [(1, 0), (2, 0)]) / 2, rest)


NO_ID, NO_SOURCE = (
    'the video_id of vicmae_mm.PackFrames', 'the source of vicmae_mm.MixedPairs')


@pytest.mark.parametrize('options, samples, message', [
    (dict(same_video='left_out'), [DataSample(), DataSample()], NO_ID),
    (dict(same_video='left_out'), [sample(1), ActionDataSample()], NO_ID),
    # as mmaction2's AVADataset names videos
    (dict(same_video='left_out'), [ActionDataSample(metainfo=dict(video_id='-5KQ66BBWC4'))], NO_ID),
    (dict(same_video='left_out'), None, NO_ID),
    (dict(same_video='left_out'), torch.arange(2), NO_ID),
    (dict(across_sources=False), [sample(1), sample(2)], NO_SOURCE),
    (dict(across_sources=False), [sample(1, 'k400'), sample(2)], NO_SOURCE),
    (dict(across_sources=False), [SimpleNamespace(source='x', sources=('y', ))], NO_SOURCE)])
def test_samples_that_do_not_say_it_are_refused(options: dict, samples, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InfoNCEHead(**options).identify(samples, 2)


def test_identities_are_for_the_options_that_need_them() -> None:
    online, target = torch.randn(2, 4, 3)
    for head, videos in ((InfoNCEHead(same_video='left_out'), torch.arange(4)),
                         (InfoNCEHead(across_sources=False), None),
                         (InfoNCEHead(), [(0, 0), (1, 0), (2, 0), (3, 0)])):
        with pytest.raises(ValueError, match='what identify'):
            head.loss(online, target, videos)
    with pytest.raises(ValueError, match=r"'left_out'\), got 'out'"):
        InfoNCEHead(same_video='out')
