"""RepeatAug: a video opened and decoded once for several clips, each with its own randomness."""
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from mmaction.datasets.transforms import SampleFrames
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.datasets.helpers import write_list
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import SampleIndex, VideoPairDataset
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader
from vicmae_mm.datasets.transforms import RepeatAug, VideoDecode, VideoInit

SAMPLE = dict(type='mmaction.SampleFrames', clip_len=4, frame_interval=3, num_clips=1)


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> str:
    return str(make_video(tmp_path_factory.mktemp('video') / 'a b.mp4', 60))


def read(path: str, repeat: RepeatAug) -> list[dict]:
    # Making an index would open the video once more.
    return repeat(VideoInit(index_dir=None)(dict(filename=path, start_index=0, label=3)))


@pytest.mark.parametrize('num_repeats', [1, 2, 5])
def test_each_repeat_is_the_plain_pipeline_on_its_frames(video, num_repeats):
    np.random.seed(0)
    samples = read(video, RepeatAug(SAMPLE, [], num_repeats))
    assert len(samples) == num_repeats
    np.random.seed(0)
    for sample in samples:  # the same draws, one after the other, without RepeatAug
        alone = VideoDecode()(SampleFrames(clip_len=4, frame_interval=3)(
            VideoInit()(dict(filename=video, start_index=0, label=3))))
        assert set(sample) == set(alone)
        assert all(map(np.array_equal, sample.pop('imgs'), alone.pop('imgs')))
        np.testing.assert_equal(sample, alone)


def test_repeats_have_their_own_frames_and_augmentation(video):
    np.random.seed(0)
    shade = [lambda sample: dict(sample, shade=np.random.rand())]
    repeats = [read(video, RepeatAug(SAMPLE, shade)) for _ in range(20)]
    starts = [[read_frame_number(sample['imgs'][0]) for sample in samples] for samples in repeats]
    assert starts == [[sample['frame_inds'][0] for sample in samples] for samples in repeats]
    assert sum(first != second for first, second in starts) >= 17  # of 48 starts
    assert len({sample['shade'] for samples in repeats for sample in samples}) == 40


def test_video_is_opened_once_and_each_frame_decoded_once(video, monkeypatch):
    opened, decoded = Counter(), []
    stock_open, stock_decode = PyAVReader.__init__, PyAVReader._decode

    def count_open(self, path):
        opened[path] += 1
        stock_open(self, path)

    def count_decode(self, wanted):
        decoded.append(wanted)
        return stock_decode(self, wanted)

    monkeypatch.setattr(PyAVReader, '__init__', count_open)
    monkeypatch.setattr(PyAVReader, '_decode', count_decode)
    samples = read(video, RepeatAug(dict(SAMPLE, frame_interval=15), [], num_repeats=6))
    wanted = [index for sample in samples for index in sample['frame_inds'].tolist()]
    assert len(wanted) == 24
    assert opened == {video: 1}
    assert decoded == [sorted(set(wanted))] and len(decoded[0]) < 24
    pixels = [image for sample in samples for image in sample['imgs']]
    assert not any(np.shares_memory(a, b) for a in pixels for b in pixels if a is not b)


def test_video_shorter_than_the_clip_loops(tmp_path):
    path = str(make_video(tmp_path / 'short.mp4', 5))
    for sample in read(path, RepeatAug(SAMPLE, [])):
        assert [read_frame_number(image) for image in sample['imgs']] == [0, 3, 1, 4]


def test_rejected_repeat_rejects_the_sample(video):
    assert read(video, RepeatAug(SAMPLE, [lambda sample: None])) is None


@pytest.mark.parametrize('num_repeats', [0, -1, 1.5])
def test_wrong_counts_are_refused(num_repeats):
    with pytest.raises(ValueError, match='integer of at least 1'):
        RepeatAug(SAMPLE, [], num_repeats)


# --- In a dataset and a data loader -------------------------------------------------------

TRANSFORMS = [
    dict(type='mmaction.RandomResizedCrop'),
    dict(type='mmaction.Resize', scale=(16, 16), keep_ratio=False),
    dict(type='mmaction.FormatShape', input_format='NCTHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('filename', 'frame_inds')),
]


def dataset(clips: Path, folder: Path, names: list[str]) -> dict:
    return dict(
        type='vicmae_mm.VideoPairDataset', ann_file=write_list(folder / 'videos.txt', names),
        data_prefix=dict(video=str(clips)), max_bad_share=1, pipeline=[
            dict(type='vicmae_mm.VideoInit'),
            dict(type='vicmae_mm.RepeatAug', sample_frames=SAMPLE, transforms=TRANSFORMS)])


NAMES = [f'good one/v {i}.mp4' for i in range(8)]


def epoch_of(config: dict, workers: int, epoch: int) -> list[list[tuple]]:
    with DefaultScope.overwrite_default_scope('mmaction'):
        loader = Runner.build_dataloader(dict(
            dataset=config, batch_size=4, num_workers=workers,
            sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
            collate_fn=dict(type='repeat_pseudo_collate')), seed=0)
    loader.sampler.set_epoch(epoch)
    return [[(sample.filename, sample.gt_label.item(), clip.numpy().tobytes())
             for clip, sample in zip(batch['inputs'], batch['data_samples'], strict=True)]
            for batch in loader]


def test_batches_hold_every_video_twice(clips, tmp_path):
    config = dataset(clips, tmp_path, NAMES)
    batches = epoch_of(config, 0, epoch=0)
    assert [len(batch) for batch in batches] == [8, 8]
    for batch in batches:
        for first, second in zip(batch[::2], batch[1::2], strict=True):
            assert first[:2] == second[:2] and first[2] != second[2]
            assert first[0].endswith(NAMES[first[1]])
    # a function of seed, epoch and index, for any number of workers
    assert batches == epoch_of(config, 2, epoch=0)
    assert not {*chain(*batches)} & {*chain(*epoch_of(config, 0, epoch=1))}


def test_repeats_depend_on_seed_epoch_and_index_alone(clips, tmp_path):
    config = {k: v for k, v in dataset(clips, tmp_path, NAMES).items() if k != 'type'}
    videos = VideoPairDataset(**config)

    def frames(index):
        return [sample['data_samples'].frame_inds.tolist() for sample in videos[index]]

    first = frames(SampleIndex(7, seed=0, epoch=0))
    assert first == frames(SampleIndex(7, seed=0, epoch=0))
    assert len({str(frames(SampleIndex(7, seed=0, epoch=e))) for e in range(8)}) > 3


def test_bad_video_affects_only_itself(clips, tmp_path):
    names = ['bad/truncated.mp4', 'bad/missing.mp4', *NAMES]
    config = {k: v for k, v in dataset(clips, tmp_path, names).items() if k != 'type'}
    for index in range(2):
        samples = VideoPairDataset(**config)[index]
        assert len(samples) == 2 and 'good one' in samples[0]['data_samples'].filename
        with pytest.raises(VideoError):
            VideoPairDataset(**config, test_mode=True)[index]
