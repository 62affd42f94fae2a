"""Loss and every gradient are the same on 1, 2 and 4 processes."""
import pytest
import torch
from mmengine.dist import get_rank
from mmpretrain.models.selfsup.simclr import GatherLayer
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.distributed import run_distributed, step, worst_difference
from vicmae_mm.models.heads import info_nce_head, vicreg_head
from vicmae_mm.models.utils import gather_with_grad
from vicmae_mm.registry import MODELS

PAIRS, CHANNELS = 16, 12
BATCH_NORM = dict(type='vicmae_mm.SyncBN1d')
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}

PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', in_channels=20, hid_channels=6, out_channels=20,
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
                dict(variant='simsiam', hid_channels=20, out_channels=20), False),
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
        is_self = get_rank() * len(local) + torch.arange(len(local))
        others = torch.ones_like(similarity).scatter(1, is_self[:, None], 0)
        positive = (ids[:, None] == every_id) * others
        return -((similarity * positive).sum(1) / (similarity * others).sum(1)).log().mean()


def gather_of_mmpretrain(x: Tensor) -> Tensor:
    """The other fault: the backward leaves out the other ranks' losses."""
    return torch.cat(GatherLayer.apply(x))


def run(method: str, dtype: torch.dtype, fault: str | None = None) -> dict[str, Tensor]:
    """The step of a method on the global batch; the same model and batch in every process."""
    torch.manual_seed(1)
    batch = [torch.randn(PAIRS, CHANNELS).to(dtype) for _ in range(2)]
    # two pairs a video, both on one process
    videos = torch.arange(PAIRS) // 2
    model = Method(method, dict(type='BN1d') if fault == 'bn' else BATCH_NORM).to(dtype)
    if fault == 'positives':
        model.head = AuthorsInfoNCE()
    patch = pytest.MonkeyPatch()
    if fault == 'gradient':
        for module in (info_nce_head, vicreg_head):
            patch.setattr(module, 'gather_with_grad', gather_of_mmpretrain)
    try:
        return step(model, *batch, videos)
    finally:
        patch.undo()


def run_all(cases: list[tuple]) -> list[dict[str, Tensor]]:
    return [run(*case) for case in cases]


FAULTS = [('infonce', torch.float64, 'positives'), ('infonce', torch.float64, 'gradient'),
          ('vicreg', torch.float64, 'gradient'), ('infonce', torch.float64, 'bn'),
          ('simsiam', torch.float64, 'bn')]
CASES = [(method, dtype) for method in METHODS for dtype in TOLERANCE]


@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_same_on_any_number_of_processes(world_size: int) -> None:
    for rank, results in enumerate(run_distributed(run_all, world_size, CASES)):
        for (method, dtype), got in zip(CASES, results, strict=True):
            difference, where = worst_difference(got, run(method, dtype))
            assert difference < TOLERANCE[dtype], (method, dtype, rank, where, difference)


@pytest.mark.parametrize('world_size', [2, 4])
def test_known_faults_are_not_the_same(world_size: int) -> None:
    results = run_distributed(run_all, world_size, FAULTS)[0]
    for (method, dtype, fault), got in zip(FAULTS, results, strict=True):
        difference, _ = worst_difference(got, run(method, dtype))
        assert difference > 0.05, (method, fault, difference)


def test_authors_infonce_is_right_on_one_process() -> None:
    """Otherwise the fault above would prove nothing."""
    got, want = run('infonce', torch.float64, 'positives'), run('infonce', torch.float64)
    assert worst_difference(got, want)[0] < 1e-12
