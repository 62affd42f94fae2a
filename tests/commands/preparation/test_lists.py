"""Every list that a tool writes is read back to the same files, whatever their names."""
import json
import os

import numpy as np
import pytest
import torch
from safetensors import deserialize

from vicmae_mm.apis.features import FileFeatures
from vicmae_mm.commands.feature_files import write_features
from vicmae_mm.commands.preparation.check_videos import CheckRecord, write_bad_videos
from vicmae_mm.commands.preparation.lists import SplitList, write_labelled, write_lists
from vicmae_mm.datasets.annotations.video_lists import find_labelled, read_annotations
from vicmae_mm.datasets.bad_videos.ledger import read_bad_videos
from vicmae_mm.datasets.packed.shards import StoredVideo, read_shard, write_shard
from vicmae_mm.utils.file_state import file_state

NAMES = [
    'plain.mp4', 'two  words.mp4', 'x.mp4 3.mp4', 'caf\udce9.mp4', 'tab\t.mp4', 'trail .mp4',
    'q"u\'o.mp4', '"quoted".mp4', 'a,b;c|d.mp4', '#hash.mp4', '-1.mp4', '%s{}$HOME~.mp4',
    'line\u2028sep\x85\x0b.mp4', '会' * 83 + 'ab.mp4', 'back\\slash.mp4']
NOT_IN_A_LINE = ['a\nb.mp4', 'a\rb.mp4', ' lead.mp4', '\u3000wide.mp4', '\ufeffmark.mp4']


@pytest.fixture
def videos(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name in [*NAMES, *NOT_IN_A_LINE]:
        (tmp_path / name).touch()
    assert set(os.listdir()) == {*NAMES, *NOT_IN_A_LINE}
    return [*NAMES, *NOT_IN_A_LINE]


@pytest.mark.parametrize('name', ['list.txt', 'list.csv'])
def test_lists_of_videos(videos, name, capsys):
    listed = [(video, number) for number, video in enumerate(reversed(videos))]
    assert set(write_labelled(name, listed)) == set(NOT_IN_A_LINE)
    assert f'{name}: 5 files are left out' in capsys.readouterr().err
    assert [*read_annotations(name)] == [item for item in listed if item[0] in NAMES]


def test_lists_of_splits_and_classes(videos):
    item = SplitList('val', '.', [(video, 0) for video in videos])
    left_out = write_lists('lists', 'mit', ['caf\udce9', 'b'], [item], '.')
    assert set(left_out) == set(NOT_IN_A_LINE)
    assert [path for path, _ in read_annotations('lists/mit_val_list_videos.txt')] == NAMES
    with open('lists/mit_label_map.txt', errors='surrogateescape') as file:
        assert file.read() == 'caf\udce9\nb\n'
    with pytest.raises(ValueError, match=r"'a\\nb', with a line break"):
        write_lists('lists', 'mit', ['a\nb', 'b'], [item], '.')


def test_lists_of_images(videos):
    left_out = write_labelled('subsets/train_005pct.txt', [(name, 7) for name in videos])
    assert set(left_out) == set(NOT_IN_A_LINE)
    assert [*find_labelled('subsets/train_005pct.txt', '', '')] == [(name, 7) for name in NAMES]


def test_bad_videos(videos):
    write_bad_videos('bad.jsonl', {video: f'{video} is bad' for video in videos}, 'caf\udce9')
    assert {path: entry['reason'] for path, entry in read_bad_videos('bad.jsonl', videos).items()
            } == {video: f'{video} is bad' for video in videos}


def test_checked_videos(videos):
    record = CheckRecord('checked.jsonl')
    for video in videos:
        record.add(video, file_state(video), True, None)
    record.close()
    assert all(CheckRecord('checked.jsonl').is_current(video, True) for video in videos)


def test_shards(videos, tmp_path):
    stored = [StoredVideo(video, 3, problem='bad') for video in videos]
    write_shard(tmp_path / 'a.zip', ['caf\udce9', 'a\nb'], stored, [()] * len(videos))
    shard = read_shard(tmp_path / 'a.zip')
    assert shard.videos == stored and shard.classes == ['caf\udce9', 'a\nb']


def test_features(videos, tmp_path):
    features = FileFeatures(torch.zeros(len(videos), 2), videos)
    write_features(tmp_path / 'a.npz', features)
    assert np.load(tmp_path / 'a.npz')['names'].tolist() == videos
    write_features(tmp_path / 'a.safetensors', features)
    content = (tmp_path / 'a.safetensors').read_bytes()
    header = int.from_bytes(content[:8], 'little')
    metadata = json.loads(content[8:8 + header])['__metadata__']
    assert json.loads(metadata['names']) == videos and len(deserialize(content)) == 1
