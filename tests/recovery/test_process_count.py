"""A different number of processes, the same training (promise 2)."""
from pathlib import Path

import pytest

from tests.helpers.distributed import run_distributed

from .killed_runs import EPOCHS, notes, train, write_videos

# With fewer pairs, BatchNorm amplifies the rounding of fp32 more: 2e-6 with 8.
PAIRS, BATCHES = 16, 4


def global_notes(work_dir: Path, step: int) -> dict:
    """Records of a step, merged over the processes that took it."""
    parts = [note for rank in (0, 1) if (work_dir / f'steps_{rank}.jsonl').exists()
             for note in notes(work_dir, rank) if note['iter'] == step]
    # row n of rank r of W is row n * W + r of the global batch
    joined = {key: [row for rows in zip(*(part[key] for part in parts), strict=True)
                    for row in rows] for key in ('samples', 'masks')}
    losses = {name: sum(float.fromhex(part['losses'][name]) for part in parts) / len(parts)
              for name in ('loss', 'loss_recon', 'loss_contrast') if name in parts[0]['losses']}
    return dict(joined, losses=losses)


def test_two_one_two(tmp_path):
    videos = str(write_videos(tmp_path / 'videos', PAIRS * BATCHES + 3))
    settings = {world_size: {'resume': True, 'train_dataloader.batch_size': PAIRS // world_size}
                for world_size in (1, 2)}
    run_distributed(train, 1, videos, str(tmp_path / 'one'), settings[1])
    work_dir = tmp_path / 'changing'
    for world_size, stop in ((2, 2), (1, 6)):  # after a checkpoint inside an epoch
        with pytest.raises(RuntimeError, match=r'returned nothing$'):
            run_distributed(train, world_size, videos, str(work_dir), settings[world_size],
                            ('next step', stop), None)
    run_distributed(train, 2, videos, str(work_dir), settings[2])

    processes = [sum(any(note['iter'] == step for note in notes(work_dir, rank))
                     for rank in (0, 1)) for step in range(EPOCHS * BATCHES)]
    assert processes == [2] * 2 + [1] * 4 + [2] * 6
    for step in range(EPOCHS * BATCHES):
        got, want = global_notes(work_dir, step), global_notes(tmp_path / 'one', step)
        assert got['samples'] == want['samples'] and got['masks'] == want['masks']
        assert got['losses'] == pytest.approx(want['losses'], rel=1e-6)
