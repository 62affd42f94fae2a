"""Clips are cut and encoded as asked, read by every method, and compared with the truth."""
import argparse
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mmengine.config import Config

from benchmarks import clips, decode, peers, stored_frames
from tests.helpers.videos import make_video


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """A long and a short video, and a file that is none."""
    folder = tmp_path_factory.mktemp('videos')
    make_video(folder / 'long.mp4', 60, size=(128, 96), fps=20, audio=True)
    make_video(folder / 'short.mp4', 10, size=(128, 96), fps=20)
    (folder / 'none.mp4').write_text('nothing')
    return folder


def arguments(*words):
    parser = argparse.ArgumentParser()
    decode.add_arguments(parser)
    return parser.parse_args([*map(str, words)])


def times_and_keyframes(path):
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = sorted(float(packet.pts * packet.time_base) for packet in packets)
    return times, [i for i, packet in enumerate(packets) if packet.is_keyframe]


def test_packed_frames_are_read_as_their_config_says(videos, monkeypatch, tmp_path):
    read = []
    monkeypatch.setattr(
        stored_frames, 'PackedFrameDataset', lambda root, steps: read.append(steps))
    stored_frames.read_packed([str(videos / 'long.mp4')], str(tmp_path))
    path = Path(__file__).parents[2] / 'configs/_base_/datasets/k400_packed_frames.py'
    assert read == [Config.fromfile(path).train_dataloader.dataset.pipeline]


def test_jpeg_files_are_the_packed_frames(videos, tmp_path, monkeypatch):
    folders, read = [str(tmp_path / name) for name in ('packed', 'raw')], []
    clips = [str(videos / name) for name in ('long.mp4', 'short.mp4')]
    stored_frames.read_packed(clips, folders[0])
    monkeypatch.setattr(stored_frames, 'RawframeDataset', lambda *args, **kwargs: read.append(args))
    stored_frames.read_raw(clips, *folders, ())
    assert Path(*read[0]).read_text() == '0 16 0\n1 10 0\n'
    packed = stored_frames.PackedFrameDataset(folders[0])
    for number in range(2):
        info = packed.get_data_info(number)
        first, = info['video_reader'].get_frames(info['stored_frames'][:1])
        assert np.array_equal(cv2.imread(f'{folders[1]}/{number}/img_00001.jpg')[..., ::-1], first)


def test_pieces_and_clips(videos, tmp_path, capsys):
    pieces = clips.cut_pieces([str(videos)], str(tmp_path), 5, 1.)
    assert len(pieces) == 2  # of 60 frames, from keyframes at 0 and 24, each of 20
    assert '2 videos left out' in capsys.readouterr().out
    assert [len(times_and_keyframes(piece)[0]) for piece in pieces] == [20, 20]
    for clip in clips.encode(pieces, str(tmp_path / 'clips'), gop=5):
        times, keyframes = times_and_keyframes(clip)
        assert len(times) == 20 and times[-1] - times[0] == pytest.approx(0.95)
        assert keyframes == [0, 5, 10, 15]


def test_nothing_long_enough(videos, tmp_path):
    with pytest.raises(ValueError, match='None of 3 videos has 10 s'):
        clips.cut_pieces([str(videos)], str(tmp_path), 5, 10.)


def test_every_method_reads_and_is_in_the_table(videos, capsys):
    pytest.importorskip('decord')
    decode.run(arguments(videos / 'long.mp4', '--gop', 6, '--clips', 1, '--seconds', 1,
                         '--rounds', 2))
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in printed.splitlines() if line.startswith('| 6 ')]
    assert [row[1] for row in rows] == [
        decode.STOCK, 'torchcodec, exact', 'decord2', 'without an index', 'first opening',
        'with an index', 'with an index, 4 pairs', 'the config, with an index',
        'the config, packed frames', 'mmaction2, JPEG files', 'webdataset, cv2', 'torchvision v2']
    assert all(row[2] == 'not installed' or float(row[2]) > 0 for row in rows)
    assert rows[2][2] == 'not installed' and rows[-1][2] != 'not installed'
    assert rows[0][3] == '1.00 (1.00 to 1.00)' and rows[0][6] == '0 of 8'
    assert rows[5][4] == rows[7][5] == rows[8][5] == '1.00 (1.00 to 1.00)'
    assert '16 frames compared' in printed and 'load ' in printed


def test_methods_draw_the_same_frames(videos, tmp_path):
    pytest.importorskip('decord')
    item = (str(videos / 'long.mp4'), 3)
    peer = peers.Peer(lambda path: list(map(decode.upright, decode.decode_all(path))),
                      lambda video, numbers: np.stack([video[i] for i in numbers]))
    methods = list(decode.build_methods([item[0]], str(tmp_path), dict(peer=peer)).values())
    drawn = [read(*item) for read, _ in methods[:5]]
    assert all(np.array_equal(results['imgs'], drawn[1]['imgs']) for results in drawn[2:])
    assert len({tuple(results['frame_inds']) for results in drawn}) == 1
    assert all(results['imgs'].shape == (2, 3, 224, 224) for results in drawn)
    read, pairs = methods[5]
    assert read(*item)['imgs'].shape == (2 * pairs, 3, 224, 224)


def test_milliseconds_are_those_of_a_pair():
    seconds = {decode.STOCK: np.array([.02, .04]), 'other': np.array([.01, .01])}
    assert decode._rows(seconds)[1] == ('other', '10.00', '3.00 (2.50 to 3.50)', '', '')
    assert decode._rows(seconds | {'missing': None})[2] == (
        'missing', 'not installed', '', '', '')


def test_each_clip_and_round_has_frames_of_its_own(videos, monkeypatch):
    """The same few frames for all clips would decide the mean."""
    called = []
    monkeypatch.setattr(decode, 'interleave', lambda methods, clock, calls: called.extend(
        calls) or dict.fromkeys(methods, np.ones(1)))
    decode.run(arguments(videos / 'long.mp4', '--gop', 6, '--clips', 2, '--seconds', 1,
                         '--rounds', 3))
    assert len({seed for _, seed in called}) == len(called) == 6


def test_wrong_frames_of_others_are_counted(videos):
    wrong = peers.Peer(lambda path: path, lambda path, numbers: np.zeros((8, 96, 128, 3), np.uint8))
    found = decode._compare_others([str(videos / 'long.mp4')], dict(other=wrong, missing=None))
    assert found == {'other': '8 of 8', decode.STOCK: '0 of 8'}


def test_a_wrong_frame_is_no_result(videos, tmp_path, monkeypatch):
    decode_all = decode.decode_all
    monkeypatch.setattr(decode, 'decode_all', lambda path: list(decode_all(path))[1:])
    with pytest.raises(RuntimeError, match='is not that of a decode from the start'):
        decode._compare([str(videos / 'long.mp4')], str(tmp_path))


@pytest.mark.parametrize('words', [('--gop', 0), ('--clips', 0), ('--seconds', 0)])
def test_options_out_of_range(videos, words, capsys):
    with pytest.raises(SystemExit, match='2'):
        arguments(videos, *words)
    assert f'argument {words[0]}: must be ' in capsys.readouterr().err


def test_long_videos_are_opened_by_their_index(videos, capsys, tmp_path):
    long = make_video(tmp_path / 'long.mkv', 60, size=(128, 96), fps=20)
    decode.run(arguments('--long', videos / 'long.mp4', long, '--seconds', 1, '--rounds', 1))
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in capsys.readouterr().out.splitlines() if line.startswith('| long.')]
    assert [row[0] for row in rows] == ['long.mp4', 'long.mkv']
    assert all(float(cell.split()[0]) > 0 for row in rows for cell in row[2:7])
