"""A bad file affects only itself (promise 6)."""
import json
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import tiny_runner

from .corrupt_clips import CRASHES, HANGS, NUM_CLIPS, NUM_GOOD, make_clips, touchy

EPOCHS, BATCH = 2, 8


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """The list of 64 clips."""
    return make_clips(tmp_path_factory.mktemp('clips'))


class Recorder(Hook):
    """Records the clip in each slot of each batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Record the batch."""
        assert len(data_batch['inputs'][0]) == len(data_batch['data_samples'])
        self.batches.append([Path(s.filename).name for s in data_batch['data_samples']])


def train(ann_file: str, work_dir: str, workers: int, max_bad_share: float) -> dict:
    """Train one rank; return, per epoch, the clip that each slot was for and the one it got."""
    recorder = Recorder()
    runner = tiny_runner(
        Path(work_dir), [recorder, dict(type='vicmae_mm.BadVideoHook')], EPOCHS,
        train_dataloader=dict(
            batch_size=BATCH, num_workers=workers,
            sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='vicmae_mm.VideoPairDataset', ann_file=ann_file, decode_timeout=5.,
                data_prefix=dict(video=str(Path(ann_file).parent)), max_bad_share=max_bad_share,
                pipeline=[
                    touchy,
                    dict(type='vicmae_mm.VideoInit'),
                    dict(type='vicmae_mm.SampleFramePair'),
                    dict(type='vicmae_mm.VideoDecode'),
                    dict(type='vicmae_mm.PerFrame', transforms=[
                        dict(type='mmpretrain.RandomResizedCrop', scale=32)]),
                    dict(type='mmpretrain.PackInputs', input_key='imgs', meta_keys=('filename', )),
                ])),
        launcher='pytorch', cfg=dict(model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)))
    runner.train()
    sampler, dataset = runner.train_dataloader.sampler, runner.train_dataloader.dataset
    slots = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        slots.append([Path(dataset.get_data_info(i)['filename']).name for i in sampler])
    return dict(batches=recorder.batches, slots=slots, bad=sorted(dataset.bad_videos._reasons),
                weights=[p.detach().sum() for p in runner.model.parameters()])


@pytest.mark.parametrize('workers', [0, 2])
def test_bad_clips_affect_only_themselves(clips, tmp_path, workers):
    ranks = run_distributed(train, 2, str(clips), str(tmp_path), workers, .3)
    good = {f'good_{i:02}.mp4' for i in range(NUM_GOOD)}
    entries = [json.loads(line) for line in (tmp_path / 'bad_videos.jsonl').open()]
    reasons = {Path(entry['path']).name: entry['reason'] for entry in entries}
    assert len(entries) == len(reasons) == NUM_CLIPS - NUM_GOOD
    assert not good & reasons.keys() and all(reasons.values())
    assert reasons[HANGS] == 'took longer than 5 s'
    assert reasons[CRASHES] == 'crashed the process that read it (SIGSEGV)'
    for epoch in range(EPOCHS):
        seen: Counter = Counter()
        for rank in ranks:
            slots = rank['slots'][epoch]
            batches = rank['batches'][epoch * len(slots) // BATCH:][:len(slots) // BATCH]
            assert [len(batch) for batch in batches] == [BATCH] * (NUM_CLIPS // 2 // BATCH)
            for slot, clip in zip(slots, chain(*batches), strict=True):
                assert clip == slot if slot in good else clip in good
                seen[slot] += 1
        assert seen == Counter(good | reasons.keys())
    assert ranks[0]['bad'] == ranks[1]['bad'] == sorted(entry['path'] for entry in entries)
    assert all(map(torch.equal, ranks[0]['weights'], ranks[1]['weights']))


def test_too_many_bad_clips_stop_all_processes(clips, tmp_path):
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=r'TooManyBadVideosError: Too many bad videos: '
                                           r'\d+ of 64 .* the limit is 10\.0%') as caught:
        run_distributed(train, 2, str(clips), str(tmp_path), 2, .1)
    assert 'still ran' not in str(caught.value) and time.monotonic() - begin < 60


@pytest.mark.parametrize('clip, error', [
    ('html_0.mp4', 'Invalid data found'),  # the message does not name the file
    (CRASHES, 'exited unexpectedly|is killed by signal'),
    (HANGS, 'timed out after 1 seconds'),  # by default it waits for ever
])
def test_the_stock_dataset_stops_at_the_first_bad_clip(clips, tmp_path, clip, error):
    import mmaction.datasets.transforms
    (tmp_path / 'one.txt').write_text(f'{clip} 0\n')
    dataset = mmaction.datasets.VideoDataset(
        ann_file=str(tmp_path / 'one.txt'), data_prefix=dict(video=str(clips.parent)), pipeline=[
            touchy, dict(type='mmaction.PyAVInit'),
            dict(type='mmaction.SampleFrames', clip_len=1, num_clips=2),
            dict(type='mmaction.PyAVDecode')])
    with pytest.raises(RuntimeError, match=error) as caught:
        list(DataLoader(dataset, num_workers=1, timeout=1, collate_fn=list))
    assert clip not in str(caught.value).replace(str(tmp_path), '')
