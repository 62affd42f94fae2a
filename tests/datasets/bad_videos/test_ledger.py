"""The file of bad videos, written by several processes."""
import json
import multiprocessing
import time
from collections import Counter
from unittest.mock import patch

import pytest

from vicmae_mm.datasets.bad_videos.ledger import BadVideoLedger, read_bad_videos
from vicmae_mm.utils.file_state import file_state


@pytest.fixture
def path(tmp_path):
    """Where the ledger goes."""
    return tmp_path / 'bad_videos.jsonl'


def lines(path) -> list[dict]:
    """The entries as another program would read them."""
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def test_entry(path, tmp_path):
    video = tmp_path / 'ünï code.mp4'
    video.write_bytes(b'123')
    entries, written = BadVideoLedger(str(path)).add(str(video), 'no "moov"\natom', 'list.txt')
    assert written and entries == lines(path)
    entry, = entries
    assert entry['path'] == str(video) and entry['reason'] == 'no "moov"\natom'
    assert (entry['size'], entry['mtime_ns']) == file_state(str(video)) and entry['size'] == 3
    assert entry['dataset'] == 'list.txt' and entry['time'].endswith('+00:00')


def test_file_name_that_is_not_utf8(path):
    name = b'/x/\xff.mp4'.decode('utf-8', 'surrogateescape')
    BadVideoLedger(str(path)).add(name, 'gone', 'list')
    assert BadVideoLedger(str(path)).read_new()[0]['path'] == name


def test_each_process_reads_entries_of_the_others_once(path):
    mine, other = BadVideoLedger(str(path)), BadVideoLedger(str(path))
    assert mine.read_new() == []
    other.add('/x/a.mp4', 'gone', 'list')
    assert [entry['path'] for entry in mine.read_new()] == ['/x/a.mp4']
    assert mine.read_new() == []
    entries, _ = other.add('/x/b.mp4', 'gone', 'list')
    assert [entry['path'] for entry in entries] == ['/x/b.mp4']


def test_same_video_is_written_once_and_again_when_the_file_has_changed(path, tmp_path):
    video = tmp_path / 'a.mp4'
    video.write_bytes(b'123')
    mine, other = BadVideoLedger(str(path)), BadVideoLedger(str(path))
    assert mine.add(str(video), 'bad', 'list')[1]
    entries, written = other.add(str(video), 'bad', 'list')
    assert not written and len(entries) == 1
    video.write_bytes(b'4567')
    assert other.add(str(video), 'still bad', 'list')[1]
    assert [entry['size'] for entry in lines(path)] == [3, 4]


def test_partial_line_of_a_killed_process_is_ignored(path):
    BadVideoLedger(str(path)).add('/x/a.mp4', 'gone', 'list')
    with open(path, 'a') as file:
        file.write('{"path": "/x/half')
    ledger = BadVideoLedger(str(path))
    assert [entry['path'] for entry in ledger.read_new()] == ['/x/a.mp4']
    ledger.add('/x/b.mp4', 'gone', 'list')
    fresh = BadVideoLedger(str(path)).read_new()
    assert [entry['path'] for entry in fresh] == ['/x/a.mp4', '/x/b.mp4']


def test_file_system_without_locks(path):
    with patch('fcntl.flock', side_effect=OSError('not supported')):
        assert BadVideoLedger(str(path)).add('/x/a.mp4', 'gone', 'list')[1]
    assert len(lines(path)) == 1


def _add_all(path, videos, barrier) -> None:
    ledger = BadVideoLedger(path)
    read_new = ledger._read_new

    def slow_read(file):
        entries = read_new(file)
        time.sleep(0.005)  # between reading what is there and writing: time for a race
        return entries

    ledger._read_new = slow_read
    for video in videos:
        barrier.wait()  # all processes meet each video at the same moment
        ledger.add(video, 'gone', 'list')


def test_processes_at_once_write_each_video_once(path):
    videos = [f'/x/{i}.mp4' for i in range(30)]
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(3)
    processes = [context.Process(target=_add_all, args=(str(path), videos, barrier))
                 for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert Counter(entry['path'] for entry in lines(path)) == Counter(videos)


@pytest.mark.parametrize('text', [
    'a.mp4 1\nb.mp4 2\n', '{"path": "a.mp4", "full": false}\n', '[1]\n',
    '{"path": 3, "reason": "", "size": 1, "mtime_ns": 1, "dataset": ""}\n'])
def test_other_files_are_refused_as_exclusion_list(path, text):
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad_videos.jsonl' is not a list of bad videos: .* JSON"):
        read_bad_videos(str(path), ['a.mp4'])


def test_a_list_that_excludes_nothing_says_so(path, tmp_path):
    video = tmp_path / 'a.mp4'
    video.touch()
    path.touch()
    with patch('vicmae_mm.datasets.bad_videos.ledger.print_log') as log:
        assert not read_bad_videos(str(path), [str(video)])  # nothing was found to be bad
        BadVideoLedger(str(path)).add(str(video), 'is empty', 'list.txt')
        assert list(read_bad_videos(str(path), [str(video)])) == [str(video)]
        assert not log.called
        assert not read_bad_videos(str(path), ['elsewhere/a.mp4'])
    assert log.call_args.args[0].startswith('None of the 1 videos that ')
