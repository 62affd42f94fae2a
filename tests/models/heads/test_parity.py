"""Loss and every gradient are the same on 1, 2 and 4 processes."""
import pytest
import torch
from mmengine.dist import get_rank
from mmpretrain.models.heads import ContrastiveHead
from mmpretrain.models.selfsup.simclr import GatherLayer, SimCLR
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.distributed import run_distributed, step, worst_difference
from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.models.heads import vicreg_head
from vicmae_mm.registry import MODELS

PAIRS, CHANNELS = 32, 16
BATCH_NORM = dict(type='vicmae_mm.SyncBN1d')
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}

PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', in_channels=48, hid_channels=24, out_channels=48,
    with_avg_pool=False, with_last_bn=False, with_last_bias=True, norm_cfg=BATCH_NORM)
# name: head, projector, whether the videos' ids are given
METHODS = {
    'infonce': (dict(type='vicmae_mm.InfoNCEHead'), {}, False),
    'infonce repeated augmentation': (dict(type='vicmae_mm.InfoNCEHead'), {}, True),
    'infonce n-way': (dict(type='vicmae_mm.InfoNCEHead', negatives='target', symmetric=False),
                      dict(variant='section3.3'), False),
    'vicreg': (dict(type='vicmae_mm.VICRegHead'), dict(variant='vicreg'), False),
    'vicreg as written': (dict(type='vicmae_mm.VICRegHead', normalize=True, reduction='paper'),
                          dict(variant='vicreg'), False),
    'simsiam': (dict(type='vicmae_mm.SimSiamHead', predictor=PREDICTOR),
                dict(variant='simsiam', hid_channels=48, out_channels=48), False),
}


class Method(nn.Module):
    """Projector and head over pooled features of both frames."""

    def __init__(self, method: str, norm: dict = BATCH_NORM) -> None:
        super().__init__()
        head, projector, self.has_videos = METHODS[method]
        self.projector = MODELS.build(
            dict(type='vicmae_mm.Projector', in_channels=CHANNELS, norm_cfg=norm, **projector))
        self.head = MODELS.build(head)

    def forward(self, first: Tensor, second: Tensor, videos: Tensor) -> Tensor:
        return self.head.loss(
            self.projector(first), self.projector(second), videos if self.has_videos else None)


class AuthorsInfoNCE(nn.Module):
    """The fault of the authors' code: ids are local, so each rank's k-th pair is one video."""

    def loss(self, online: Tensor, target: Tensor, videos: Tensor | None = None) -> Tensor:
        local = torch.cat([F.normalize(online), F.normalize(target)])
        ids = torch.arange(len(online)).repeat(2)
        every, every_id = gather_with_grad(local), gather_with_grad(ids)
        similarity = (local @ every.T / 0.1).exp()
        itself = get_rank() * len(local) + torch.arange(len(local))
        others = torch.ones_like(similarity).scatter(1, itself[:, None], 0)
        positive = (ids[:, None] == every_id) * others
        return -((similarity * positive).sum(1) / (similarity * others).sum(1)).log().mean()


class MmpretrainInfoNCE(nn.Module):
    """mmpretrain's SimCLR on given embeddings: its gather ignores the losses of other ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.head = ContrastiveHead(loss=dict(type='CrossEntropyLoss'), temperature=0.1)

    def loss(self, online: Tensor, target: Tensor, videos: Tensor | None = None) -> Tensor:
        local = F.normalize(torch.stack([online, target], dim=1).flatten(0, 1))
        every = torch.cat(GatherLayer.apply(local))
        similarity = every @ every.T
        not_self, pair, negative = SimCLR._create_buffer(len(every) // 2, every.device)
        similarity = similarity[not_self == 1].reshape(len(every), -1)
        return self.head.loss(similarity[pair].unsqueeze(1),
                              similarity[negative == 1].reshape(len(every), -1))


def run(method: str, dtype: torch.dtype, fault: str | None = None) -> dict[str, Tensor]:
    """The step of a method on the global batch; the same model and batch in every process."""
    torch.manual_seed(4)
    batch = [torch.randn(PAIRS, CHANNELS).to(dtype) for _ in range(2)]
    # two pairs per video, both on one process
    videos = torch.arange(PAIRS) // 2
    model = Method(method, dict(type='BN1d') if fault == 'batch norm' else BATCH_NORM).to(dtype)
    if fault == 'positives':
        model.head = AuthorsInfoNCE()
    if fault == 'gradient':
        model.head = MmpretrainInfoNCE()
    with pytest.MonkeyPatch.context() as patch:
        if fault == 'gather':
            patch.setattr(vicreg_head, 'gather_with_grad',
                          lambda x: torch.cat(GatherLayer.apply(x)))
        return step(model, *batch, videos)


def run_all(cases: list[tuple]) -> list[dict[str, Tensor]]:
    return [run(*case) for case in cases]


CASES = [(method, dtype) for method in METHODS for dtype in TOLERANCE]
FAULTS = [('infonce', torch.float64, 'positives'), ('infonce', torch.float64, 'gradient'),
          ('vicreg', torch.float64, 'gather'), ('infonce', torch.float64, 'batch norm'),
          ('vicreg', torch.float64, 'batch norm'), ('simsiam', torch.float64, 'batch norm')]


@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_same_on_any_number_of_processes(world_size: int) -> None:
    alone = run_all(CASES)
    for rank, results in enumerate(run_distributed(run_all, world_size, CASES)):
        for (method, dtype), got, want in zip(CASES, results, alone, strict=True):
            difference, where = worst_difference(got, want)
            assert difference < TOLERANCE[dtype], (method, dtype, rank, where, difference)


@pytest.mark.parametrize('world_size', [2, 4])
def test_known_faults_are_not_the_same(world_size: int) -> None:
    """The test above detects each of them."""
    results = run_distributed(run_all, world_size, FAULTS)[0]
    for (method, dtype, fault), got in zip(FAULTS, results, strict=True):
        difference, _ = worst_difference(got, run(method, dtype))
        assert difference > 0.05, (method, fault, difference)
        if fault == 'gradient':  # the loss does not show it
            want = run(method, dtype)
            torch.testing.assert_close(got['loss'], want['loss'])
            name = 'grad.projector.fc2.weight'
            torch.testing.assert_close(got[name] * world_size, want[name])


@pytest.mark.parametrize('fault', ['positives', 'gradient'])
def test_faulty_infonces_are_right_on_one_process(fault: str) -> None:
    """Otherwise the test above would prove nothing; and two independent forms agree with ours."""
    got, want = run('infonce', torch.float64, fault), run('infonce', torch.float64)
    assert worst_difference(got, want)[0] < 1e-9
