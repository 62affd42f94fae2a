"""VideoPairDataset: records, and what it refuses."""
from collections import Counter
from unittest.mock import patch

import pytest
import torch

from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import SampleIndex, VideoPairDataset

from .helpers import GOOD, PACK, READ, build, write_list


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


def test_frames_are_those_that_were_drawn(config):
    sample = build(config, pipeline=READ)[5]
    assert [read_frame_number(img) for img in sample['imgs']] == sample['frame_inds'].tolist()


def test_list_whose_paths_do_not_exist(config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'None of the 13 videos .*data_root'):
        build(config, data_prefix=dict(video=str(tmp_path)))
    config['ann_file'] = write_list(tmp_path / 'x.txt', ['x.mp4'] * 1500)
    with pytest.raises(FileNotFoundError, match=r'None of the 1,000 checked \(of 1,500\)'):
        build(config)


def test_missing_files_are_announced(config):
    with patch('vicmae_mm.datasets.annotations.video_lists.print_log') as log:
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
    (dict(ann_file='a.txt', max_bad_share=5), ValueError, r'should be in \[0, 1\]'),
    (dict(ann_file='a.txt', max_bad_share='5%'), ValueError, r'should be in \[0, 1\]'),
    (dict(ann_file='a.txt', decode_timeout=0), ValueError, 'or None for no limit'),
    (dict(ann_file='a.txt', decode_timeout='60'), ValueError, 'or None for no limit'),
    (dict(data_prefix='folder'), ValueError, r'should be dict\(video=FOLDER\)'),
    (dict(data_prefix=dict(img_path='folder')), ValueError, r'should be dict\(video=FOLDER\)'),
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


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    make_video(tmp_path / 'a.mp4')
    (tmp_path / 'list.txt').write_text('a.mp4 0\n')
    for settings in (dict(data_prefix=dict(video='~')),
                     dict(ann_file='~/list.txt', data_prefix=dict(video='~')),
                     dict(ann_file='list.txt', data_root='~')):
        dataset = VideoPairDataset(**settings)
        assert dataset.get_data_info(0)['filename'] == str(tmp_path / 'a.mp4')
