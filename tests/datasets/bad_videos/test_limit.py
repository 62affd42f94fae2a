"""Counting bad videos and stopping at the limit."""
import pickle

import pytest

from vicmae_mm.datasets.bad_videos.ledger import read_bad_videos
from vicmae_mm.datasets.bad_videos.limit import BadVideos, TooManyBadVideosError


def test_error_above_the_limit_not_at_it():
    bad = BadVideos('list.txt', max_share=0.1)
    bad.add('/x/a.mp4', 'gone')
    bad.check(10)
    bad.add('/x/a.mp4', 'gone')  # the same again
    bad.check(10)
    with pytest.raises(TooManyBadVideosError):
        bad.check(9)


def test_message_says_what_is_wrong_and_what_to_do(tmp_path):
    bad = BadVideos('list.txt', max_share=0.05)
    bad.share(str(tmp_path / 'bad_videos.jsonl'), set)
    for name in 'abcd':
        bad.add(f'/x/{name}.mp4', f'reason {name}')
    with pytest.raises(TooManyBadVideosError) as caught:
        bad.check(40)
    message = str(caught.value)
    for part in ("4 of 40 (10.0%) of 'list.txt'", 'the limit is 5.0%', '/x/a.mp4: reason a',
                 str(tmp_path / 'bad_videos.jsonl'), 'data_root', 'vicmae check-videos',
                 'max_bad_share'):
        assert part in message
    assert '/x/d.mp4' not in message  # examples only
    # A dataloader's worker sends its error as a class and a text.
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_counts_are_over_all_processes_and_one_dataset(tmp_path):
    ledger = str(tmp_path / 'bad_videos.jsonl')
    mine, worker, other = (BadVideos(name, 0.5) for name in ('list', 'list', 'other list'))
    for bad in (mine, worker, other):
        bad.share(ledger, set)
    worker.add('/x/a.mp4', 'gone')
    other.add('/x/b.mp4', 'gone')
    assert len(mine) == 0
    mine.refresh()
    assert len(mine) == 1 and '/x/a.mp4' in mine and '/x/b.mp4' not in mine
    mine.add('/x/c.mp4', 'gone')
    worker.add('/x/d.mp4', 'gone')
    assert len(worker) == 3  # it has read mine's on the way


def test_earlier_run_counts_for_unchanged_files_of_this_dataset(tmp_path):
    ledger = str(tmp_path / 'bad_videos.jsonl')
    same, repaired, dropped = (str(tmp_path / name) for name in ('a.mp4', 'b.mp4', 'c.mp4'))
    before = BadVideos('list', 1)
    before.share(ledger, set)
    for path in (same, repaired, dropped):
        with open(path, 'w') as file:
            file.write('no video')
        before.add(path, 'bad')
    before.add('/x/missing.mp4', 'gone')
    with open(repaired, 'w') as file:
        file.write('a video now')
    now = BadVideos('the list has another name', 1)
    now.share(ledger, lambda: {same, repaired, '/x/missing.mp4'})
    assert len(now) == 2 and same in now and '/x/missing.mp4' in now


def test_without_a_ledger_each_process_counts_its_own():
    bad = BadVideos('list', 1)
    bad.add('/x/a.mp4', 'gone')
    bad.refresh()
    assert len(bad) == 1 and '/x/a.mp4' in bad


def test_unwritable_ledger_does_not_end_the_training(tmp_path):
    bad = BadVideos('list', 1)
    bad.share(str(tmp_path / 'no such folder' / 'bad_videos.jsonl'), set)
    bad.add('/x/a.mp4', 'gone')
    assert '/x/a.mp4' in bad


@pytest.mark.parametrize('total, tolerated', [
    (1, 0), (2, 0), (3, 1), (5, 2), (7, 3), (20, 3), (60, 3), (80, 4), (1000, 50)])
def test_without_a_setting_a_few_are_tolerated_as_long_as_most_are_good(total, tolerated):
    bad = BadVideos('list.txt', None)
    for number in range(tolerated):
        bad.add(f'/x/{number}.mp4', 'gone')
        bad.check(total)
    bad.add('/x/more.mp4', 'gone')
    limit = tolerated if 3 <= total < 60 else '5.0%'
    with pytest.raises(TooManyBadVideosError, match=f'; the limit is {limit}. For'):
        bad.check(total)


def test_the_machines_faults_count_but_are_not_remembered(tmp_path):
    ledger, video = str(tmp_path / 'bad_videos.jsonl'), str(tmp_path / 'a.mp4')
    mine, worker = BadVideos('list', 1), BadVideos('list', 1)
    for bad in (mine, worker):
        bad.share(ledger, set)
    for _ in range(3):  # in three epochs
        worker.add(video, 'could not be read now (Stale file handle)', machine=True)
    mine.refresh()
    assert len(mine) == len(worker) == 1 and len(open(ledger).readlines()) == 1
    assert video not in mine and video not in worker, 'they are tried again'
    later = BadVideos('list', 1)
    later.share(ledger, lambda: {video})
    assert len(later) == 0 and not read_bad_videos(ledger, [video])
    mine.forget(video)  # it could be read again
    assert len(mine) == 0
    mine.add(video, 'could not be read now (Stale file handle)', machine=True)
    mine.forget()  # after an epoch
    assert len(mine) == 0
    worker.add(video, 'is empty (0 bytes)')  # when it can be read
    worker.forget(video)
    assert len(worker) == 1 and video in worker


def test_message_says_that_the_machine_fails():
    bad = BadVideos('list.txt', 0.05)
    bad.add('/x/a.mp4', 'is empty')
    for name in 'bc':
        bad.add(f'/x/{name}.mp4', 'could not be read now (Stale file handle)', machine=True)
    with pytest.raises(TooManyBadVideosError) as caught:
        bad.check(40)
    for part in ('2 of them because the machine fails, not the files', 'Check disks and mounts',
                 'Stale file handle', 'then use --resume'):
        assert part in str(caught.value)


def test_count_of_segments_and_whole_files_is_kept_as_they_come_and_go(tmp_path):
    bad = BadVideos('list.txt', 1)
    bad.segments, bad.num_segments = {'long': [(0, 10), (10, 20), (20, float('inf'))]}, 3
    steps = [(('long', (0, 10)), 1), (('long', (10, 20)), 2), ('long', 3), ('short', 4),
             (('long', (20, float('inf'))), 4), ('short', 4)]
    for part, expected in steps:
        bad.add(part, 'bad', machine=part == 'long')
        assert len(bad) == expected
    bad.forget('long')  # its segments stay bad
    assert len(bad) == 4 and bad.total(2) == 3 and bad.total(5) == 5
