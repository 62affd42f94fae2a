"""The command that packs the frames of a video dataset."""
import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.datasets import PackedFrameDataset


@pytest.fixture
def source(tmp_path) -> Path:
    root = tmp_path / 'source'
    (root / 'a class').mkdir(parents=True)
    make_video(root / 'one.mp4', 40, size=(128, 96))
    make_video(root / 'a class/two 2.mkv', 7)
    (root / 'text.mp4').write_text('not a video')
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def bad_of(root: Path) -> list[str]:
    return [json.loads(line)['path'] for line in (root / 'bad_videos.jsonl').open()]


def test_folder(tool, source, tmp_path, capsys):
    assert tool('pack_frames', 'source', 'new', '--frames', '10', '--short-side', '48') == 3
    new = tmp_path / 'new'
    assert set(contents(new)) == {
        'shard-00000.zip', 'frames.npy', 'videos.npy', 'index.json', 'pack.json',
        'bad_videos.jsonl'}
    assert bad_of(new) == ['source/text.mp4']
    assert '2 of 3 videos are in new: 17 frames' in capsys.readouterr().out
    dataset = PackedFrameDataset(str(new))
    assert [dataset[i]['filename'] for i in range(2)] == ['a class/two 2.mkv', 'one.mp4']
    for i, frames in enumerate(([*range(7)], [*range(2, 40, 4)])):
        record = dataset[i]
        assert record['stored_frames'].tolist() == frames and record['label'] == -1
        pictures = record['video_reader'].get_frames(frames)
        assert [read_frame_number(picture) for picture in pictures] == frames
        assert pictures[0].shape == (48, 64, 3)


def test_list_with_labels(tool, source, tmp_path):
    (tmp_path / 'list.csv').write_text('path,label\none.mp4,5\na class/two 2.mkv,3\n')
    assert tool('pack_frames', 'list.csv', 'new', '--prefix', 'source', '--every', '6') == 0
    dataset = PackedFrameDataset(str(tmp_path / 'new'))
    assert [dataset.get_cat_ids(i) for i in range(2)] == [[5], [3]]
    assert dataset[0]['stored_frames'].tolist() == [*range(0, 40, 6)]


def test_labels_from_folders(tool, source, tmp_path):
    (source / 'b').mkdir()
    (source / 'one.mp4').rename(source / 'b/one.mp4')
    (source / 'text.mp4').unlink()
    assert tool('pack_frames', 'source', 'new', '--labels-from-folders') == 0
    dataset = PackedFrameDataset(str(tmp_path / 'new'))
    assert dataset.metainfo['classes'] == ['a class', 'b'] and dataset.get_cat_ids(1) == [1]


def test_estimate_comes_first(tool, source, capsys):
    for i in range(6):
        os.link(source / 'one.mp4', source / f'{i}.mp4')
    assert tool('pack_frames', 'source', 'new', '--workers', '1') == 3
    err = capsys.readouterr().err
    assert 'Estimate from 4 of 9 videos' in err or 'Estimate from 3 of 9 videos' in err


def test_again_makes_what_is_missing(tool, source, tmp_path, capsys):
    for i in range(5):
        os.link(source / 'one.mp4', source / f'{i}.mp4')
    args = ('pack_frames', 'source', 'new', '--videos-per-shard', '3')
    assert tool(*args) == 3
    new = tmp_path / 'new'
    before = contents(new)
    assert len(before) == 8
    shard = new / 'shard-00001.zip'
    untouched = (new / 'shard-00000.zip').stat().st_mtime_ns
    for damage, left in (('gone', 5), ('cut', 5), ('no index', 8)):
        if damage == 'no index':
            (new / 'index.json').unlink()
        else:
            shard.unlink()
        if damage == 'cut':
            shard.write_bytes(before[shard.name][:-100])
        capsys.readouterr()
        assert tool(*args, '--workers', '1') == 3
        assert f'8 videos in source; {left} are already done' in capsys.readouterr().out
        after = contents(new)
        assert before.keys() == after.keys()
        assert {name for name in before if after[name] != before[name]} <= {'bad_videos.jsonl'}
        assert bad_of(new) == ['source/text.mp4']
        assert (new / 'shard-00000.zip').stat().st_mtime_ns == untouched


def test_settings_and_videos_are_not_mixed(tool, source, tmp_path, capsys):
    for name in ('one.mp4', 'text.mp4'):
        (source / name).unlink()
    assert tool('pack_frames', 'source', 'new') == 0
    before = contents(tmp_path / 'new')
    for args in (('--frames', '8'), ('--every', '2'), ('--every-seconds', '2'),
                 ('--quality', '80'), ('--short-side', '32'),
                 ('--videos-per-shard', '2'), ('--labels-from-folders', )):
        assert tool('pack_frames', 'source', 'new', *args) == 1
        message = capsys.readouterr().err
        assert 'use the same settings or another DST' in message and "'num_videos'" not in message
    assert "made with {'sha256_of_list': " in message  # what differs, and nothing else
    make_video(source / 'later.mp4', 3)
    assert tool('pack_frames', 'source', 'new') == 1
    assert contents(tmp_path / 'new') == before


@pytest.mark.parametrize('args, message', [
    (['gone', 'new'], "'gone' does not exist"),
    (['empty', 'new'], "No video found in 'empty'"),
    (['source', 'new', '--quality', '101'], '--quality: must be 1 to 100'),
    (['source', 'new', '--frames', '0'], 'must be positive'),
    (['source', 'new', '--every-seconds', '0'], '--every-seconds: must be 0.001 to'),
    (['source', 'new', '--every-seconds', '1e-9'], '--every-seconds: must be 0.001 to'),
    (['source', 'new', '--every-seconds', 'nan'], '--every-seconds: must be 0.001 to'),
    (['source', 'new', '--every-seconds', '2', '--every', '2'], 'cannot be used with --every'),
    (['source', 'file'], 'file'),
    (['source', './source/'], 'is the folder of the videos'),
    (['list.txt', 'new'], '--prefix or ROOT of a command'),
    (['list.txt', 'new', '--prefix', 'source', '--labels-from-folders'], 'is a list, which'),
    (['source', 'damaged'], 'damaged/pack.json is damaged'),
    (['source', 'other'], 'other/pack.json is damaged'),
])
def test_errors(tool, source, tmp_path, capsys, args, message):
    for name, content in (('damaged', b'{"fra'), ('other', b'\xff')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'pack.json').write_bytes(content)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('')
    (tmp_path / 'list.txt').write_text('one.mp4\n')
    status, error = tool('pack_frames', *args), capsys.readouterr().err
    assert message in error and status == (2 if error.startswith('usage: ') else 1)


def test_only_bad_videos(tool, source, tmp_path):
    for path in (source / 'one.mp4', source / 'a class/two 2.mkv'):
        path.unlink()
    assert tool('pack_frames', 'source', 'new') == 3
    with pytest.raises(ValueError, match='contains no video'):
        PackedFrameDataset(str(tmp_path / 'new'))


def test_ctrl_c(tool, source, tmp_path, capsys, monkeypatch):
    def interrupted(self, job, done):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Plan, 'add', interrupted)
        assert tool('pack_frames', 'source', 'new') == 130
    assert 'Run the same command to continue' in capsys.readouterr().out
    assert bad_of(tmp_path / 'new') == []
    assert tool('pack_frames', 'source', 'new') == 3


def test_two_at_once(tool, source, tmp_path, capsys):
    args = 'pack_frames', 'source', 'new'
    assert tool(*args) == 3
    capsys.readouterr()
    with open(tmp_path / 'new/pack.json') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert tool(*args) == 1
        assert "'new' is being written by another process" in capsys.readouterr().err
    assert tool(*args) == 3


def test_a_video_that_the_machine_fails_to_read_holds_back_its_shard(
        tool, source, tmp_path, capsys, in_this_process):
    with failing_disk('one.mp4', errno.EIO, 3000):
        assert tool('pack_frames', 'source', 'new', '--videos-per-shard', '2') == 1
    printed = capsys.readouterr().out
    assert '1 videos could not be read now, such as source/one.mp4:' in printed
    assert 'could not be read now (Input/output error)' in printed
    assert sorted(contents(tmp_path / 'new')) == [
        'bad_videos.jsonl', 'pack.json', 'shard-00001.zip']  # with text.mp4 alone
    assert tool('pack_frames', 'source', 'new', '--videos-per-shard', '2') == 3
    assert bad_of(tmp_path / 'new') == ['source/text.mp4']
    assert len(PackedFrameDataset(str(tmp_path / 'new'))) == 2
