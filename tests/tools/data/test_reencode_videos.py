"""The command that encodes a folder of videos again."""
import errno
import json
import os
import signal
from pathlib import Path

import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.commands.preparation.reencode import ReencodeSettings
from vicmae_mm.commands.preparation.reencode_plan import plan_jobs, prepare_target
from vicmae_mm.datasets.bad_videos.ledger import read_bad_videos
from vicmae_mm.datasets.readers import open_video

from .helpers import interrupt


@pytest.fixture
def source(tmp_path) -> Path:
    root = tmp_path / 'source'
    (root / 'a class').mkdir(parents=True)
    make_video(root / 'one.mp4', 12, size=(128, 96))
    make_video(root / 'one.avi', 9, codec='mpeg4')
    make_video(root / 'a class/two 2.mkv', 7, rotation=0)
    (root / 'text.mp4').write_text('not a video')
    return root


def files_in(root: Path) -> dict[str, float]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns
            for path in root.rglob('*') if path.is_file()}


def numbers(path: Path) -> list[int]:
    with open_video(str(path)) as video:
        return [read_frame_number(frame) for frame in video.get_frames(range(video.num_frames))]


def test_folder(tool, source, tmp_path, capsys):
    before = files_in(source)
    assert tool('reencode_videos', 'source', 'new', '--short-side', '48') == 3
    new = tmp_path / 'new'
    assert set(files_in(new)) == {'one.mp4', 'one.avi.mp4', 'a class/two 2.mp4', 'reencode.json',
                                  'bad_videos.jsonl'}
    assert numbers(new / 'one.mp4') == list(range(12))
    assert numbers(new / 'one.avi.mp4') == list(range(9))
    assert numbers(new / 'a class/two 2.mp4') == list(range(7))
    assert files_in(source) == before
    entries = [json.loads(line) for line in (new / 'bad_videos.jsonl').open()]
    assert [entry['path'] for entry in entries] == ['source/text.mp4']
    out = capsys.readouterr().out
    assert '3 of 4 videos are in new' in out and '2 got another extension' in out


def test_again_does_only_what_is_left(tool, source, tmp_path, capsys):
    tool('reencode_videos', 'source', 'new')
    before = files_in(tmp_path / 'new')
    make_video(source / 'text.mp4', 3)
    make_video(source / 'later.mp4', 3)
    assert tool('reencode_videos', 'source', 'new', '--threads', '2') == 0
    after = files_in(tmp_path / 'new')
    assert after.keys() - before.keys() == {'text.mp4', 'later.mp4'}
    assert {name for name in before if after[name] != before[name]} == {'bad_videos.jsonl'}
    assert (tmp_path / 'new/bad_videos.jsonl').read_text() == ''
    assert '5 videos' in (out := capsys.readouterr().out) and '3 are already done' in out


def test_estimate_comes_first(tool, source, tmp_path, capsys):
    for i in range(6):
        make_video(source / f'{i}.mp4', 5)
    assert tool('reencode_videos', 'source', 'new', '--workers', '1') == 3
    err = capsys.readouterr().err
    assert 'Estimate from 4 of 10 videos' in err or 'Estimate from 3 of 10 videos' in err
    assert '1 in parallel' in err and 'WARNING' not in err


@pytest.mark.parametrize('target', ['source', 'source/new', '.', 'link'])
def test_source_is_never_written_to(tool, source, tmp_path, capsys, target):
    os.symlink('source', tmp_path / 'link')
    before = files_in(source)
    assert tool('reencode_videos', 'source', target) == 1
    assert 'Videos are never replaced' in capsys.readouterr().err
    assert files_in(source) == before


def test_settings_are_not_mixed(tool, source, capsys):
    tool('reencode_videos', 'source', 'new', '--crf', '30')
    capsys.readouterr()
    assert tool('reencode_videos', 'source', 'new') == 1
    assert "'crf': 30" in capsys.readouterr().err


@pytest.mark.parametrize('args, message', [
    (['gone', 'new'], "'gone' does not exist"),
    (['empty', 'new'], "No video found in 'empty'"),
    (['source', 'new', '--crf', '60'], '--crf: must be 0 to 51'),
    (['source', 'new', '--gop', '0'], 'must be 1 to'),
    (['source', 'new', '--preset', 'quick'], 'invalid choice'),
    (['source', 'source/text.mp4/new'], 'one is inside the other'),
    (['source', 'file'], 'file'),
])
def test_errors(tool, source, tmp_path, capsys, args, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('')
    status, error = tool('reencode_videos', *args), capsys.readouterr().err
    assert message in error and status == (2 if error.startswith('usage: ') else 1)


def test_leftovers_of_killed_workers(tool, source, tmp_path):
    """They neither pile up nor count as videos; files of other programs stay."""
    new = tmp_path / 'new'
    (new / 'a class').mkdir(parents=True)
    leftovers = ['one.mp4.123.part', 'one.mp4.45678.part', 'text.mp4.9.part', 'one.avi.mp4.7.part',
                 'a class/two 2.mp4.123.part', 'one.mp4.part']  # the last as of earlier versions
    others = ['notes.part', 'notes.1.part', 'one.mkv.123.part', 'a class/one.mp4.123.part']
    for name in [*leftovers, *others]:
        make_video(new / name, 2, container_format='mp4')
    assert tool('check_videos', 'new') == 1  # no video found
    assert tool('reencode_videos', 'source', 'new') == 3
    assert {name for name in files_in(new) if name.endswith('.part')} == set(others)
    assert tool('check_videos', 'new') == 0


def test_workers_killed_by_the_time_limit_leave_one_file_at_most(tool, source, tmp_path):
    for path in source.rglob('*.*'):
        path.unlink()
    make_video(source / 'long.mp4', 240, size=(320, 240))
    args = ('reencode_videos', 'source', 'new', '--preset', 'veryslow')
    for _ in range(3):
        # The encoder's last frames come out in one call, without progress meanwhile.
        assert tool(*args, '--timeout', '.05') == 3
        assert len([*(tmp_path / 'new').glob('*.part')]) <= 1
    assert tool(*args) == 0
    assert set(files_in(tmp_path / 'new')) == {'long.mp4', 'reencode.json', 'bad_videos.jsonl'}


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_again(repo, tool, tmp_path, capsys, how):
    """In the middle of a video that takes long, the fifth: four evenly spread ones are first."""
    (tmp_path / 'source').mkdir()
    first = make_video(tmp_path / 'source/0.mp4', 20)
    for i in range(2, 6):
        os.link(first, first.with_name(f'{i}.mp4'))
    make_video(tmp_path / 'source/1.mp4', 240, size=(320, 240))
    new = tmp_path / 'new'
    status, out = interrupt(
        repo / 'tools/data/reencode_videos.py',
        ['source', 'new', '--workers', '1', '--preset', 'veryslow'], tmp_path,
        lambda: len(list(new.glob('*.mp4'))) > 3 and bool(list(new.glob('*.part'))), how)
    assert status == (130 if how == signal.SIGINT else -how) and 'Traceback' not in out
    assert ('Run the same command to continue' in out) == (how == signal.SIGINT)
    done = {path: path.stat().st_mtime_ns for path in new.glob('*.mp4')}
    assert sorted(path.stem for path in done) == ['0', '2', '3', '5']
    assert all(numbers(path) == list(range(20)) for path in done)
    assert tool('reencode_videos', 'source', 'new', '--preset', 'veryslow') == 0
    assert '4 are already done' in capsys.readouterr().out
    assert len(list(new.glob('*.mp4'))) == 6 and not list(new.glob('*.part'))
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())


def test_two_at_once(tool, source, tmp_path, capsys):
    """The second one says so, and touches nothing; one that was killed leaves no lock."""
    jobs = plan_jobs('source', 'new', ReencodeSettings())
    with prepare_target('new', jobs, ReencodeSettings()):
        part = make_video(tmp_path / 'new/one.mp4.0123456789abcdef.part', 2, container_format='mp4')
        assert tool('reencode_videos', 'source', 'new') == 1
        assert "'new' is being written by another process" in capsys.readouterr().err
        assert part.exists() and not (tmp_path / 'new/one.mp4').exists()
    assert tool('reencode_videos', 'source', 'new') == 3
    assert not part.exists() and numbers(tmp_path / 'new/one.mp4') == list(range(12))


def test_a_name_that_cannot_be_handled_affects_only_itself(tool, tmp_path, capsys):
    """Case: names of 255 bytes, as the titles of videos make them, and of folders."""
    long = '\u4f1a' * 83 + 'ab'
    names = [f'{long}.mp4', f'{long}.mkv', 'z.avi', 'z.mp4/in.mp4', 'zz\udce9\n.mp4', 'zy.mp4']
    (tmp_path / 'source/z.mp4').mkdir(parents=True)
    (tmp_path / 'new/zy.mp4').mkdir(parents=True)
    first = make_video(tmp_path / 'source' / names[0], 3)
    for name in names[1:]:
        os.link(first, tmp_path / 'source' / name)
    assert tool('reencode_videos', 'source', 'new', '--workers', '1') == 3
    assert set(files_in(tmp_path / 'new')) == {
        f'{long}.mp4', 'z.mp4', 'zz\udce9\n.mp4', 'reencode.json', 'bad_videos.jsonl'}
    bad = read_bad_videos('new/bad_videos.jsonl', [f'source/{name}' for name in names])
    assert {path: entry['reason'].split(' (')[1] for path, entry in bad.items()} == {
        f'source/{long}.mkv': 'File name too long): rename it',
        'source/zy.mp4': 'Is a directory): rename it',
        'source/z.mp4/in.mp4': 'File exists): rename it'}


def test_two_videos_of_one_name(tool, tmp_path, capsys):
    """They are named, whichever was there first, and never taken for each other."""
    new = tmp_path / 'new'
    (tmp_path / 'source').mkdir()
    make_video(tmp_path / 'source/a.avi', 3, codec='mpeg4')
    assert tool('reencode_videos', 'source', 'new') == 0
    make_video(tmp_path / 'source/a.mp4', 5)
    make_video(tmp_path / 'source/a.avi.mkv', 7)
    assert tool('reencode_videos', 'source', 'new') == 0
    assert 'source/a.avi -> new/a.avi.mp4, because' in capsys.readouterr().out
    expected = {'a.mp4': 5, 'a.avi.mp4': 3, 'a.avi.mp4.mp4': 7}
    assert {path.name: len(numbers(path)) for path in new.glob('*.mp4')} == expected
    (tmp_path / 'source/a.mp4').unlink()
    assert tool('reencode_videos', 'source', 'new') == 0
    assert {path.name: len(numbers(path)) for path in new.glob('*.mp4')} == expected


def test_a_video_that_the_machine_fails_to_read_is_encoded_by_the_next_run(
        tool, tmp_path, capsys, in_this_process):
    (tmp_path / 'source').mkdir()
    for name in ('good', 'late'):
        make_video(tmp_path / f'source/{name}.mp4', 30)
    with failing_disk('late.mp4', errno.ESTALE, 3000):
        assert tool('reencode_videos', 'source', 'new') == 1
    assert '1 videos could not be read now, such as source/late.mp4:' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / 'new').glob('*.mp4*')] == ['good.mp4']
    assert not (tmp_path / 'new/bad_videos.jsonl').read_text()
    assert tool('reencode_videos', 'source', 'new') == 0
    assert (tmp_path / 'new/late.mp4').exists()
