"""VideoPairDataset on small real videos, good and bad, through mmengine's dataloader."""
import json
import os
import random
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.runner import Runner

from tests.helpers.videos import make_audio, make_video, read_frame_number
from vicmae_mm.datasets import (EpochSampler, SampleIndex, TooManyBadVideosError,
                                VideoPairDataset)
from vicmae_mm.datasets.readers import VideoError

READ = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='vicmae_mm.SampleFramePair'),
    dict(type='vicmae_mm.VideoDecode'),
]
PACK = [
    dict(type='vicmae_mm.PerFrame', transforms=[
        dict(type='mmpretrain.RandomResizedCrop', scale=32, crop_ratio_range=(0.5, 1.0)),
        dict(type='mmpretrain.RandomFlip', prob=0.5),
    ]),
    dict(type='mmpretrain.PackInputs', input_key='imgs', meta_keys=('sample_idx', 'filename')),
]
NUM_GOOD = 8


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """A folder of 8 good videos and five bad files, the second class in a subfolder."""
    root = tmp_path_factory.mktemp('clips')
    (root / 'good one').mkdir()
    (root / 'bad').mkdir()
    for i in range(NUM_GOOD):
        make_video(root / 'good one' / f'v {i}.mp4', num_frames=12 + i)
    (root / 'bad' / 'empty.mp4').touch()
    (root / 'bad' / 'text.mp4').write_text('<html>404 not found</html>\n' * 50)
    whole = (root / 'good one' / 'v 0.mp4').read_bytes()
    (root / 'bad' / 'truncated.mp4').write_bytes(whole[:len(whole) // 2])
    make_audio(root / 'bad' / 'audio.mp4')
    return root


BAD = ['bad/empty.mp4', 'bad/text.mp4', 'bad/truncated.mp4', 'bad/audio.mp4', 'bad/missing.mp4']
GOOD = [f'good one/v {i}.mp4' for i in range(NUM_GOOD)]


def write_list(path: Path, names: list[str]) -> str:
    """A list with labels 0, 1, 2 ..."""
    path.write_text(''.join(f'{name} {i}\n' for i, name in enumerate(names)))
    return str(path)


@pytest.fixture
def config(clips, tmp_path):
    """Dataset config of good and bad videos, any share of bad ones allowed."""
    ann_file = write_list(tmp_path / 'videos.txt', GOOD + BAD)
    return dict(type='vicmae_mm.VideoPairDataset', ann_file=ann_file,
                data_prefix=dict(video=str(clips)), pipeline=READ + PACK, max_bad_share=1)


def build(config: dict, **kwargs) -> VideoPairDataset:
    """The dataset of a config."""
    return VideoPairDataset(**{k: v for k, v in (config | kwargs).items() if k != 'type'})


def loader(config, workers: int = 0, sampler: str = 'vicmae_mm.EpochSampler',
           persistent: bool = False):
    """A dataloader as the runner builds it."""
    return Runner.build_dataloader(dict(
        dataset=config, sampler=dict(type=sampler, shuffle=True), batch_size=4,
        num_workers=workers, persistent_workers=persistent,
        collate_fn=dict(type='default_collate')), seed=0)


def epoch_of(dataloader, epoch: int) -> list[tuple]:
    """Everything an epoch yields: files, bytes of both frames."""
    dataloader.sampler.set_epoch(epoch)
    items = []
    for batch in dataloader:
        first, second = batch['inputs']
        items += [(sample.filename, sample.sample_idx, a.numpy().tobytes(), b.numpy().tobytes())
                  for sample, a, b in zip(batch['data_samples'], first, second, strict=True)]
    return items


def ledger_lines(path: Path) -> list[dict]:
    """Entries of the ledger."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_record_has_the_keys_of_mmactions_dataset(config, clips):
    dataset = build(config, pipeline=[])
    assert len(dataset) == 13
    assert dataset[3] == dict(filename=str(clips / GOOD[3]), label=3, sample_idx=3,
                              modality='RGB', start_index=0)
    assert type(dataset[SampleIndex(3, 0, 0)]['sample_idx']) is int
    assert dataset.get_cat_ids(3) == [3]


def test_paths_relative_to_data_root(config, clips, tmp_path):
    dataset = build(config, data_root=str(clips.parent), data_prefix=dict(video=clips.name),
                    pipeline=[])
    assert dataset[0]['filename'] == str(clips / GOOD[0])


def test_mmactions_transforms_read_the_record(config):
    import mmaction.datasets.transforms  # noqa: F401
    pipeline = [dict(type='vicmae_mm.VideoInit'),
                dict(type='mmaction.SampleFrames', clip_len=4, frame_interval=2, num_clips=2),
                dict(type='vicmae_mm.VideoDecode'),
                dict(type='mmaction.FormatShape', input_format='NCTHW')]
    assert build(config, pipeline=pipeline)[0]['imgs'].shape == (2, 3, 4, 48, 64)


def test_folder(clips):
    dataset = VideoPairDataset(data_prefix=dict(video=str(clips)), labels_from_folders=True)
    assert len(dataset) == 12 and dataset.metainfo['classes'] == ['bad', 'good one']
    assert Counter(dataset[i]['label'] for i in range(12)) == {0: 4, 1: 8}
    dataset = VideoPairDataset(data_root=str(clips))
    assert len(dataset) == 12 and {dataset[i]['label'] for i in range(12)} == {-1}


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_bad_videos_are_replaced_counted_and_written_once(config, workers, tmp_path):
    ledger = tmp_path / 'bad_videos.jsonl'
    # Repeated, so that several workers meet the same file.
    dataloader = loader(dict(type='RepeatDataset', times=4, dataset=config), workers)
    dataset = dataloader.dataset.dataset
    dataset.share_bad_videos(str(ledger))
    for epoch in range(2):
        items = epoch_of(dataloader, epoch)
        assert len(items) == 52
        assert {Path(name).parent.name for name, *_ in items} == {'good one'}
    entries = ledger_lines(ledger)
    prefix = config['data_prefix']['video']
    assert Counter(e['path'] for e in entries) == Counter(os.path.join(prefix, b) for b in BAD)
    assert all(e['reason'] for e in entries)
    dataset.bad_videos.refresh()
    assert len(dataset.bad_videos) == 5


def test_sample_is_a_function_of_seed_epoch_and_index(config):
    reference = [epoch_of(loader(config), epoch) for epoch in range(3)]
    for workers, persistent in ((0, False), (1, False), (2, False), (2, True)):
        dataloader = loader(config, workers, persistent=persistent)
        # Out of order as after a resume; workers persist or not.
        assert [epoch_of(dataloader, e) for e in (2, 0, 1)] == [
            reference[2], reference[0], reference[1]], (workers, persistent)
    for index in range(NUM_GOOD):  # bad ones may draw the same replacement
        views = {item[2:] for items in reference for item in items if item[1] == index}
        assert len(views) >= 3


def test_stock_sampler_repeats_itself_so_this_test_can_fail(config):
    # What EpochSampler is for: with mmengine's sampler each fresh worker starts over.
    def first(sampler, epoch):
        dataloader = loader(config, 1, sampler)
        dataloader.sampler.shuffle = False
        return epoch_of(dataloader, epoch)[0]
    assert first('DefaultSampler', 0) == first('DefaultSampler', 1)
    assert first('vicmae_mm.EpochSampler', 0) != first('vicmae_mm.EpochSampler', 1)


def test_same_sample_for_any_world_size(config):
    dataset = build(config)
    samples = {}
    for world_size in (1, 2, 4):
        for rank in range(world_size):
            with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)):
                sampler = EpochSampler(dataset, seed=1)
            for index in sampler:
                views = [v.numpy().tobytes() for v in dataset[index]['inputs']]
                assert samples.setdefault(int(index), views) == views


def test_sample_does_not_depend_on_what_is_already_known_to_be_bad(config):
    indices = [SampleIndex(i, seed=0, epoch=0) for i in range(13)]
    fresh = build(config)
    first = [fresh[i]['data_samples'].filename for i in indices]
    assert first == [fresh[i]['data_samples'].filename for i in indices]
    last = build(config)
    assert first[::-1] == [last[i]['data_samples'].filename for i in reversed(indices)]


def test_training_generators_are_not_disturbed(config):
    dataset = build(config)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    for index in range(13):
        dataset[SampleIndex(index, 0, 0)]
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_plain_index_draws_from_the_global_generators(config):
    dataset = build(config, pipeline=READ)
    np.random.seed(0)
    first = [dataset[0]['frame_inds'].tolist() for _ in range(6)]
    np.random.seed(0)
    assert first == [dataset[0]['frame_inds'].tolist() for _ in range(6)]
    assert len(set(map(tuple, first))) > 1


def test_stream_survives_concat_and_repeat(config, clips):
    folder = build(dict(data_prefix=dict(video=str(clips / 'good one')), pipeline=READ))
    repeat = RepeatDataset(folder, times=16)
    picks = {tuple(repeat[SampleIndex(i * NUM_GOOD, 0, 0)]['frame_inds']) for i in range(16)}
    assert len(picks) > 5  # one video, another pair each time
    concat = ConcatDataset([folder, folder])
    index = SampleIndex(NUM_GOOD + 2, seed=4, epoch=1)
    sample = concat[index]
    assert sample['sample_idx'] == 2
    with index.random_stream():
        again = folder.pipeline(folder.get_data_info(2))
    assert np.array_equal(sample['frame_inds'], again['frame_inds'])


def test_frames_are_those_that_were_drawn(config):
    sample = build(config, pipeline=READ)[5]
    assert [read_frame_number(img) for img in sample['imgs']] == sample['frame_inds'].tolist()


@pytest.mark.parametrize('workers', [0, 2])
def test_training_stops_over_the_limit(config, workers, tmp_path):
    names = GOOD[:8] + BAD[:2]
    config['ann_file'] = write_list(tmp_path / 'ten.txt', names)
    config['max_bad_share'] = 0.2  # two of ten is allowed
    assert len(epoch_of(loader(config, workers), 0)) == 10
    config['max_bad_share'] = 0.1
    dataloader = loader(config, workers)
    dataloader.dataset.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
    iterator = iter(dataloader)
    with pytest.raises(TooManyBadVideosError, match=r'2 of 10 \(20\.0%\)'):
        list(iterator)
    if workers:
        iterator._shutdown_workers()  # left to the garbage collector it takes 10 s
    # A second run in the same work dir says so before it starts.
    with pytest.raises(TooManyBadVideosError, match=r'2 of 10'):
        build(config).share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))


def test_known_bad_videos_are_not_opened_again_until_repaired(config, clips, tmp_path):
    opened: Counter = Counter()

    def spy(results):
        opened[os.path.basename(results['filename'])] += 1
        return results

    broken = tmp_path / 'broken.mp4'
    broken.write_text('no video')
    config.update(ann_file=write_list(tmp_path / 'two.txt', [str(clips / GOOD[0]), str(broken)]),
                  pipeline=[spy, *READ])
    ledger = str(tmp_path / 'bad_videos.jsonl')
    for _ in range(2):  # the second is a resumed run
        dataset = build(config)
        dataset.share_bad_videos(ledger)
        for _ in range(4):
            assert dataset[1]['filename'].endswith('v 0.mp4')
        assert opened['broken.mp4'] == 1
    make_video(broken, num_frames=4)
    dataset = build(config)
    dataset.share_bad_videos(ledger)
    assert dataset[1]['filename'] == str(broken) and len(dataset.bad_videos) == 0


@pytest.mark.parametrize('index', range(5))
@pytest.mark.parametrize('sample_index', [False, True])
def test_nothing_is_swapped_in_test_mode(config, clips, index, sample_index):
    dataset = build(config, test_mode=True)
    index += NUM_GOOD
    for _ in range(2):
        with pytest.raises(VideoError) as caught:
            dataset[SampleIndex(index, 0, 0) if sample_index else index]
        assert str(clips / BAD[index - NUM_GOOD]) in str(caught.value)
    assert len(dataset.bad_videos) == 0


def test_faults_of_the_program_are_not_bad_videos(config):
    def fault(results):
        raise ZeroDivisionError('a bug')
    dataset = build(config, pipeline=[*READ, fault])
    with pytest.raises(ZeroDivisionError, match='a bug'):
        dataset[SampleIndex(0, 0, 0)]
    assert len(dataset.bad_videos) == 0


def test_pipeline_may_reject_a_sample(config):
    dataset = build(config, pipeline=[lambda r: r if r['label'] == 4 else None])
    assert dataset[SampleIndex(0, 0, 0)]['label'] == 4
    assert len(dataset.bad_videos) == 0


def test_no_usable_video_ends_in_an_error(config, tmp_path):
    config['ann_file'] = write_list(tmp_path / 'bad.txt', BAD)
    with pytest.raises(RuntimeError, match=r'no usable video .*5 of 5 videos are known to be bad'):
        build(config)[0]


def test_list_whose_paths_do_not_exist(config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'None of the 13 videos .*data_root'):
        build(config, data_prefix=dict(video=str(tmp_path)))
    config['ann_file'] = write_list(tmp_path / 'x.txt', ['x.mp4'] * 1500)
    with pytest.raises(FileNotFoundError, match=r'None of the 1,000 checked \(of 1,500\)'):
        build(config)


def test_missing_files_are_announced(config):
    with patch('vicmae_mm.datasets.video_pairs.print_log') as log:
        build(config)
        build(config, test_mode=True)
    train, test = (call.args[0] for call in log.call_args_list)
    assert '1 of the 13 videos' in train and 'skipped and counted' in train
    assert 'is an error in test mode' in test


@pytest.mark.parametrize('kwargs, error, message', [
    (dict(), ValueError, 'nothing to read'),
    (dict(data_prefix=dict(video='/no/such/folder')), FileNotFoundError, 'does not exist'),
    (dict(ann_file='/no/such/list.txt'), FileNotFoundError, 'does not exist'),
    (dict(ann_file='a.txt', labels_from_folders=True), ValueError, 'Leave one out'),
    (dict(ann_file='a.txt', max_bad_share=5), ValueError, r'should lie in \[0, 1\]'),
])
def test_wrong_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        VideoPairDataset(**kwargs)


def test_real_clips(real_data):
    dataset = VideoPairDataset(
        ann_file=str(real_data / 'videos.txt'), data_prefix=dict(video=str(real_data / 'videos')),
        pipeline=READ + PACK, test_mode=True)
    for index in range(len(dataset)):
        first, second = dataset[SampleIndex(index, 0, 0)]['inputs']
        assert first.shape == second.shape == (3, 32, 32)
        assert not torch.equal(first, second)
