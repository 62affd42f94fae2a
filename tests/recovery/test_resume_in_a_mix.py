"""A run on a mix of images and segments, resumed within an epoch."""
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from mmengine.hooks import Hook

from tests.datasets.test_mixed_pairs import CROP, PACK, image_source
from tests.helpers.classifiers import write_photos
from tests.helpers.runs import tiny_runner
from tests.helpers.videos import make_video


class Batches(Hook):
    """Notes what each batch contains."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        self.seen.append((*(sample.source for sample in data_batch['data_samples']),
                          *(view.sum().item() for view in data_batch['inputs']),
                          outputs['loss'].item()))


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> dict[str, dict]:
    """Photos, and videos in segments."""
    root = tmp_path_factory.mktemp('data')
    for number in range(3):
        (root / 'videos').mkdir(exist_ok=True)
        make_video(root / f'videos/{number}.mp4', 8 * number + 4, fps=10)
    videos = dict(
        type='vicmae_mm.VideoPairDataset', data_prefix=dict(video=str(root / 'videos')),
        segment_seconds=.4, max_samples_per_video=2,
        decode_timeout=None, pipeline=[
            dict(type='vicmae_mm.VideoInit'), dict(type='vicmae_mm.SampleFramePair'),
            dict(type='vicmae_mm.VideoDecode'), CROP, PACK])
    return dict(photos=image_source(write_photos(root / 'photos')), videos=videos)


def train(work_dir: Path, data: dict[str, dict], resumed: str = '', photos: float = 2,
          batch_size: int = 4) -> tuple[list[tuple], dict]:
    """Two epochs of four steps; what was seen, and the weights."""
    batches = Batches()
    runner = tiny_runner(
        work_dir,
        [batches, dict(type='vicmae_mm.StepSeedHook'), dict(type='vicmae_mm.BadVideoHook')],
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0, drop_last=True,
            dataset=dict(type='vicmae_mm.MixedPairs', datasets=data, epoch_length=18,
                         weights=dict(photos=photos, videos=1)),
            sampler=dict(type='vicmae_mm.EpochSampler', round_up=False),
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3)),
        resume=bool(resumed), load_from=resumed or None)
    runner.train()
    return batches.seen, runner.model.state_dict()


def test_resumed_within_an_epoch(tmp_path, data):
    whole, weights = train(tmp_path / 'whole', data)
    assert len(whole) == 8
    for epoch in (whole[:4], whole[4:]):  # 12 and 6 of 18, of which the first 16 are seen
        seen = Counter(name for step in epoch for name in step[:4])
        assert seen in (dict(photos=11, videos=5), dict(photos=10, videos=6))
    checkpoint = str(tmp_path / 'whole/iter_6.pth')
    rest, same = train(tmp_path / 'rest', data, checkpoint)
    assert rest == whole[6:]
    assert all(torch.equal(same[name], value) for name, value in weights.items())
    with patch('vicmae_mm.engine.loops.resumable_train_loop.print_log') as log:
        again, _ = train(tmp_path / 'again', data, checkpoint, photos=1)
        assert 'from [9, 9] samples' in log.call_args.args[0] and len(again) == 4
        fewer = dict(data, photos=dict(data['photos'], indices=5))
        assert len(train(tmp_path / 'fewer', fewer, checkpoint)[0]) == 4
        assert 'starts again' in log.call_args.args[0]
