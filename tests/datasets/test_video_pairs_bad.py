"""VideoPairDataset: bad videos are replaced, counted, written down, and too many stop it."""
import errno
import os
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.videos import make_video
from vicmae_mm.datasets import SampleIndex, TooManyBadVideosError
from vicmae_mm.datasets.readers import MachineError, VideoError

from .helpers import BAD, GOOD, NUM_GOOD, READ, build, epoch_of, ledger_lines, loader, write_list


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_bad_videos_are_replaced_counted_and_recorded_once(config, workers, tmp_path):
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
                  pipeline=[spy, *READ], allow_outside_root=True,
                  decode_timeout=None)  # or another process counts
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


def test_excluded_videos_are_left_out_from_the_start(config, clips, tmp_path):
    ledger = tmp_path / 'old run' / 'bad_videos.jsonl'
    ledger.parent.mkdir()
    dataset = build(config)
    dataset.share_bad_videos(str(ledger))
    for index in range(13):
        dataset[SampleIndex(index, 0, 0)]
    assert len(ledger_lines(ledger)) == 5
    with patch('vicmae_mm.datasets.video_pairs.print_log') as log:
        dataset = build(config, exclude_file=str(ledger), max_bad_share=0)
    assert f'5 of the 13 videos of {config["ann_file"]} are left out' in log.call_args.args[0]
    assert [Path(dataset[i]['data_samples'].filename).name for i in range(len(dataset))] == [
        Path(name).name for name in GOOD]
    (clips / 'bad/late.mp4').write_text('x')
    config['ann_file'] = write_list(tmp_path / 'late.txt', [*GOOD[:1], 'bad/late.mp4'])
    dataset = build(config)
    dataset.share_bad_videos(str(ledger))
    dataset[SampleIndex(1, 0, 0)]
    assert len(build(config, exclude_file=str(ledger))) == 1
    make_video(clips / 'bad/late.mp4', num_frames=4)
    assert len(build(config, exclude_file=str(ledger))) == 2, 'it has been repaired'
    (clips / 'bad/late.mp4').unlink()
    config['ann_file'] = write_list(tmp_path / 'bad.txt', BAD)
    with pytest.raises(ValueError, match='names all 5 videos of'):
        build(config, exclude_file=str(ledger))
    message = r"'nowhere\.jsonl' does not exist: .*vicmae check-videos"
    with pytest.raises(FileNotFoundError, match=message):
        build(config, exclude_file='nowhere.jsonl')


def test_timeouts_and_crashes_are_tried_again_by_the_next_run(config, clips, tmp_path):
    def hang(results):
        if results['filename'].endswith('v 0.mp4') and (tmp_path / 'hang').exists():
            time.sleep(60)
        return results

    (tmp_path / 'hang').touch()
    config.update(ann_file=write_list(tmp_path / 'two.txt', GOOD[:2]), decode_timeout=.5,
                  pipeline=[hang, *READ])
    ledger = tmp_path / 'bad_videos.jsonl'
    dataset = build(config)
    dataset.share_bad_videos(str(ledger))
    assert dataset[SampleIndex(0, 0, 0)]['filename'].endswith('v 1.mp4')
    assert ledger_lines(ledger)[0]['reason'] == 'took longer than 0.5 s'
    (tmp_path / 'hang').unlink()  # the disk is back
    assert dataset[SampleIndex(0, 0, 1)]['filename'].endswith('v 1.mp4'), 'not in this run'
    dataset = build(config)
    dataset.share_bad_videos(str(ledger))
    assert dataset[SampleIndex(0, 0, 0)]['filename'].endswith('v 0.mp4')


@pytest.mark.parametrize('index', range(5))
@pytest.mark.parametrize('sample_index', [False, True])
def test_nothing_is_replaced_in_test_mode(config, clips, index, sample_index):
    dataset = build(config, test_mode=True)
    index += NUM_GOOD
    for _ in range(2):
        with pytest.raises(VideoError) as caught:
            dataset[SampleIndex(index, 0, 0) if sample_index else index]
        assert str(clips / BAD[index - NUM_GOOD]) in str(caught.value)
    assert len(dataset.bad_videos) == 0


def test_bugs_are_not_bad_videos(config):
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


@pytest.mark.parametrize('name', ['ESTALE', 'EIO', 'EACCES', 'EMFILE', 'ENOMEM'])
@pytest.mark.parametrize('timeout', [None, 60])
def test_a_file_that_the_machine_fails_to_read_is_good_in_the_next_run(
        config, tmp_path, name, timeout):
    config.update(ann_file=write_list(tmp_path / 'good.txt', GOOD), max_bad_share=None,
                  decode_timeout=timeout)
    ledger = tmp_path / 'bad_videos.jsonl'
    dataset = build(config)
    dataset.share_bad_videos(str(ledger))
    with failing_disk('v 3.mp4', getattr(errno, name)):
        paths = [dataset[i]['data_samples'].filename for i in range(len(GOOD))]
    assert len(paths) == len(GOOD) and not any(path.endswith('v 3.mp4') for path in paths)
    assert len(dataset.bad_videos) == 1 and ledger_lines(ledger)[0]['machine']
    later = build(config)
    later.share_bad_videos(str(ledger))
    assert not len(later.bad_videos) and len(build(config, exclude_file=str(ledger))) == len(GOOD)
    assert later[3]['data_samples'].filename.endswith('v 3.mp4')
    if timeout is None:  # within one run, too, which then does not count it any more
        assert dataset[3]['data_samples'].filename.endswith('v 3.mp4')
        assert not len(dataset.bad_videos)
    with failing_disk('.mp4', getattr(errno, name)), pytest.raises(
            TooManyBadVideosError, match='4 of them because the machine fails, not the files'):
        build(config)[0]
    with failing_disk('v 3.mp4', getattr(errno, name)), pytest.raises(
            MachineError, match='could not be read now'):
        build(config, test_mode=True)[3]
