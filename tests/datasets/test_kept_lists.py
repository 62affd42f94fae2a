"""Datasets whose list has an index: as mmengine's methods and wrappers use them."""
import copy
import json
import pickle

import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset

from vicmae_mm.datasets import ImagePairDataset, VideoPairDataset
from vicmae_mm.datasets.annotations import list_index
from vicmae_mm.utils.file_state import file_state

NUMBER = 200


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build a dataset of a list that is kept."""
    monkeypatch.setattr(list_index, 'MIN_BYTES', 0)
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))
    for number in range(NUMBER):
        (tmp_path / f'{number}.mp4').touch()
    (tmp_path / 'list.txt').write_text(
        ''.join(f'{number}.mp4 {int(number > 0)}\n' for number in range(NUMBER)))

    def build(kind=VideoPairDataset, **kwargs):
        prefix = tmp_path if kind is ImagePairDataset else dict(video=str(tmp_path))
        return kind(ann_file=str(tmp_path / 'list.txt'),
                    data_prefix=str(prefix) if prefix is tmp_path else prefix, **kwargs)
    return build


def numbers(dataset, key: str = 'filename') -> list[int]:
    """The numbers in the names of all records."""
    return [int(dataset.get_data_info(i)[key].rpartition('/')[2].split('.')[0])
            for i in range(len(dataset))]


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('indices', [None, 7, -3, [5, 0, 199], 0])
def test_indices_and_subsets(build, serialize, indices):
    every = list(range(NUMBER))
    expected = every if indices is None else (
        [every[i] for i in indices] if isinstance(indices, list) else
        every[:indices] if indices >= 0 else every[indices:])
    if not expected:
        with pytest.raises((ValueError, IndexError)):
            build(indices=indices, serialize_data=serialize)[0]
        return
    for _ in range(2):  # the second start
        dataset = build(indices=indices, serialize_data=serialize)
        assert numbers(dataset) == expected
        assert dataset.get_data_info(-1)['sample_idx'] == len(expected) - 1
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert numbers(other) == expected
    assert numbers(dataset.get_subset(2)) == expected[:2]
    assert numbers(dataset.get_subset([1, 0])) == [expected[1], expected[0]]
    dataset.get_subset_(-2)
    assert numbers(dataset) == expected[-2:]


def test_records_are_those_of_a_list_without_an_index(build, monkeypatch):
    kept = build()
    monkeypatch.setattr(list_index, 'MIN_BYTES', 10**6)
    for index in (0, 31, 32, NUMBER - 1, -1):
        info = kept.get_data_info(index)
        assert info == build().get_data_info(index)
        info['filename'] = info['label'] = None  # a copy
        assert kept.get_data_info(index)['label'] is not None
    assert len(pickle.dumps(kept)) < 2500


def test_wrappers(build):
    joined = ConcatDataset([build(lazy_init=True), build(indices=5, lazy_init=True)])
    assert numbers(joined) == [*range(NUMBER), *range(5)]
    assert numbers(RepeatDataset(build(), 2)) == [*range(NUMBER)] * 2
    balanced = numbers(ClassBalancedDataset(build(), 0.5))
    assert balanced.count(0) == 10 and balanced.count(1) == 1  # one video of its class


def test_images(build):
    dataset = build(ImagePairDataset)
    assert numbers(dataset, 'img_path') == [*range(NUMBER)]
    assert dataset.get_cat_ids(0) == [0] and dataset.get_cat_ids(1) == [1]


def test_excluded_and_bad_videos_of_an_earlier_run(build, tmp_path):
    def write(name: str, bad: list[int]) -> str:
        lines = [dict(zip(('path', 'size', 'mtime_ns'), (path, *file_state(path)), strict=True),
                      reason='x', dataset='y') for path in (f'{tmp_path}/{n}.mp4' for n in bad)]
        (tmp_path / name).write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
        return str(tmp_path / name)
    for bad in ([0, 64, 199], [7]):
        for _ in range(2):
            dataset = build(exclude_file=write('bad.jsonl', bad))
            assert numbers(dataset) == [i for i in range(NUMBER) if i not in bad]
    dataset.share_bad_videos(write('ledger.jsonl', [7, 8, 150]))
    assert len(dataset.bad_videos) == 2  # 7 is left out
    assert f'{tmp_path}/150.mp4' in dataset.bad_videos
