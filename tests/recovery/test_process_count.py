"""A different number of processes, the same training (promise 2)."""
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.helpers.distributed import run_distributed
from tests.helpers.models import shrink
from tests.helpers.videos import make_video

from .killed_runs import CONFIG, EPOCHS, notes, train, write_videos

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
              for name in {*parts[0]['losses']} - {'embedding_std', 'embedding_rank'}}
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
                            ('saved', stop), None)
    run_distributed(train, 2, videos, str(work_dir), settings[2])

    processes = [sum(any(note['iter'] == step for note in notes(work_dir, rank))
                     for rank in (0, 1)) for step in range(EPOCHS * BATCHES)]
    assert processes == [2] * 2 + [1] * 4 + [2] * 6
    for step in range(EPOCHS * BATCHES):
        got, want = global_notes(work_dir, step), global_notes(tmp_path / 'one', step)
        assert got['samples'] == want['samples'] and got['masks'] == want['masks']
        assert got['losses'] == pytest.approx(want['losses'], rel=1e-6)


def test_a_mix_of_images_and_segments(tmp_path):
    """Processes share a batch of both: equal samples, masks and losses, in all and by source."""
    (tmp_path / 'videos').mkdir()
    for number in range(3):
        make_video(tmp_path / f'videos/{number}.mp4', 30, fps=10, gop=5)
    config = CONFIG.with_name('vicmae-v3_vit-b16_in1k-k400.py')
    mix = shrink(Config.fromfile(config), tmp_path / 'videos', tmp_path).train_dataloader.dataset
    mix.update(epoch_length=PAIRS, weights=dict(in1k=2, k400=1))
    mix.datasets.k400.update(segment_seconds=1, decode_timeout=None)
    for processes in (1, 2):
        settings = {'train_dataloader.batch_size': PAIRS // processes,
                    'train_dataloader.dataset': dict(mix.to_dict(), _delete_=True)}
        run_distributed(train, processes, '', str(tmp_path / str(processes)), settings)
    for step in range(EPOCHS):
        one, two = (global_notes(tmp_path / str(processes), step) for processes in (1, 2))
        assert two['samples'] == one['samples'] and two['masks'] == one['masks']
        assert two['losses'] == pytest.approx(one['losses'], rel=1e-6)
