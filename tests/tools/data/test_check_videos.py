"""The command that finds bad videos."""
import errno
import json
import os
import signal
from pathlib import Path

import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.videos import make_audio, make_video
from vicmae_mm.commands.preparation.check_videos import CheckRecord
from vicmae_mm.datasets import VideoPairDataset

from .helpers import run_in_fork


@pytest.fixture
def videos(tmp_path) -> Path:
    """Three good videos, and three bad ones: text, sound only, one that is only listed."""
    root = tmp_path / 'videos'
    (root / 'a class').mkdir(parents=True)
    for name in ('one.mp4', 'a class/two 2.mkv', 'three.avi'):
        make_video(root / name, 10)
    (root / 'text.mp4').write_text('not a video')
    make_audio(root / 'a class/sound.mp4')
    lines = [f'{path.relative_to(root)} {i}' for i, path in enumerate(sorted(root.rglob('*.*')))]
    (tmp_path / 'list.txt').write_text('\n'.join([*lines, 'gone.mp4 9']) + '\n')
    return root


def bad_of(path: Path) -> dict[str, str]:
    return {entry['path']: entry['reason'] for entry in map(json.loads, path.open())}


def test_folder(tool, videos, tmp_path, capsys):
    assert tool('check_videos', 'videos') == 3
    work_dir = tmp_path / 'work_dirs/check_videos/videos'
    bad = bad_of(work_dir / 'bad_videos.jsonl')
    assert set(bad) == {'videos/text.mp4', 'videos/a class/sound.mp4'}
    out = capsys.readouterr().out
    assert '2 of 5 videos are bad' in out and '       1  has no video in it' in out
    for path in bad:
        os.remove(path)
    assert tool('check_videos', 'videos', '--workers', '1') == 0
    assert '3 of 3 videos were already checked' in capsys.readouterr().out
    assert bad_of(work_dir / 'bad_videos.jsonl') == {}


def test_list_and_clean_list(tool, videos, tmp_path, capsys):
    args = ('list.txt', '--prefix', 'videos', '--out', 'run', '--clean-list', 'clean.txt')
    assert tool('check_videos', *args) == 3
    out = capsys.readouterr().out  # before a dataset logs what is missing
    bad = bad_of(tmp_path / 'run/bad_videos.jsonl')
    assert bad['videos/gone.mp4'] == 'does not exist' and len(bad) == 3
    clean = (tmp_path / 'clean.txt').read_text().splitlines()
    listed = (tmp_path / 'list.txt').read_text().splitlines()
    assert clean == [line for line in listed if 'videos/' + line.rsplit(' ', 1)[0] not in bad]
    dataset = VideoPairDataset('list.txt', data_prefix=dict(video='videos'), max_bad_share=.9)
    dataset.share_bad_videos('run/bad_videos.jsonl')  # as the hook does in that work dir
    assert len(dataset.bad_videos) == 3
    option = '--cfg-options train_dataloader.dataset.exclude_file='
    assert out.splitlines()[-1] == f'To exclude them from training: {option}run/bad_videos.jsonl'
    for prefix in ('videos', './videos', str(videos)):  # the same files by other names
        dataset = VideoPairDataset('list.txt', data_prefix=dict(video=prefix),
                                   exclude_file='run/bad_videos.jsonl')
        assert len(dataset) == 3


def test_only_changed_files_are_checked_again(tool, videos, tmp_path, capsys):
    tool('check_videos', 'videos', '--out', 'run')
    make_video(videos / 'text.mp4', 3)
    capsys.readouterr()
    assert tool('check_videos', 'videos', '--out', 'run') == 3
    assert '4 of 5 videos were already checked' in capsys.readouterr().out
    assert set(bad_of(tmp_path / 'run/bad_videos.jsonl')) == {'videos/a class/sound.mp4'}
    assert tool('check_videos', 'videos', '--out', 'run', '--full') == 3
    assert '1 of 5 videos were already checked' in capsys.readouterr().out


def test_time_outs_are_bad_and_tried_again(tool, videos, tmp_path, capsys):
    assert tool('check_videos', 'videos', '--out', 'run', '--timeout', '1e-7') == 3
    reasons = set(bad_of(tmp_path / 'run/bad_videos.jsonl').values())
    assert any('took longer than 1e-07 s' in reason for reason in reasons)
    assert tool('check_videos', 'videos', '--out', 'run') == 3
    assert len(bad_of(tmp_path / 'run/bad_videos.jsonl')) == 2


@pytest.mark.parametrize('args, message', [
    (['gone'], "'gone' does not exist"),
    (['list.txt'], r'None of the 6 videos listed in list.txt exists'),
    (['empty.txt'], 'is empty'),
    (['nothing'], "No video found in 'nothing'"),
    (['videos', '--workers', '0'], 'must be positive'),
    (['videos', '--timeout', 'nan'], "must be a positive number, not 'nan'"),
    (['videos', '--segment-seconds', '1e-9'], 'must be 0.1 to 1000000.0'),
    (['videos', '--clean-list', 'videos'], 'is a folder: name a file'),
    (['videos', '--out', 'list.txt'], 'list.txt'),
    (['outside.txt', '--prefix', 'videos'], 'of a command, --allow-outside-root'),
])
def test_errors(tool, videos, tmp_path, capsys, args, message):
    (tmp_path / 'nothing').mkdir()
    (tmp_path / 'empty.txt').write_text('')
    (tmp_path / 'outside.txt').write_text('one.mp4\n../../secret.mp4\n')
    status, error = tool('check_videos', *args), capsys.readouterr().err
    assert message in error and status == (2 if error.startswith('usage: ') else 1)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_again(tool, tmp_path, capsys, monkeypatch, how):
    (tmp_path / 'videos').mkdir()
    first = make_video(tmp_path / 'videos/0.mp4', 20)
    for i in range(1, 8):
        os.link(first, first.with_name(f'{i}.mp4'))
    args = ['videos', '--out', 'run', '--clean-list', 'clean.txt', '--full', '--workers', '1']
    stock, added = CheckRecord.add, []

    def add(*record) -> None:
        stock(*record)
        added.append(record)
        if len(added) == 3:
            signal.raise_signal(how)

    with monkeypatch.context() as patched:
        patched.setattr(CheckRecord, 'add', add)
        status, out = run_in_fork(lambda: tool('check_videos', *args), tmp_path / 'out')
    assert status == (130 if how == signal.SIGINT else -how) and 'Traceback' not in out
    assert ('Run the same command to continue' in out) == (how == signal.SIGINT)
    assert (tmp_path / 'run/checked_videos.jsonl').read_text().count('"path"') == 3
    assert not (tmp_path / 'clean.txt').exists()
    assert tool('check_videos', *args) == 0
    assert '3 of 8 videos were already checked' in capsys.readouterr().out
    assert len((tmp_path / 'clean.txt').read_text().splitlines()) == 8


def test_real_clips(tool, real_data, tmp_path):
    args = (real_data / 'videos.txt', '--prefix', real_data / 'videos', '--out', 'run')
    assert tool('check_videos', *args) == 0


def test_a_video_that_the_machine_fails_to_read_is_not_bad(
        tool, tmp_path, capsys, in_this_process):
    (tmp_path / 'videos').mkdir()
    for name in ('good', 'closed'):
        make_video(tmp_path / f'videos/{name}.mp4', 5)
    command = ('check_videos', 'videos', '--out', 'work', '--clean-list', 'clean.txt')
    with failing_disk('closed.mp4', errno.EACCES):
        assert tool(*command) == 1
    printed = capsys.readouterr().out
    assert '1 videos could not be read now, such as videos/closed.mp4:' in printed
    assert '0 of 2 videos are bad' in printed and not (tmp_path / 'clean.txt').exists()
    assert not (tmp_path / 'work/bad_videos.jsonl').read_text()
    assert tool(*command) == 0, 'the next run checks it again'
    assert '1 of 2 videos were already checked' in capsys.readouterr().out
    assert len((tmp_path / 'clean.txt').read_text().splitlines()) == 2
