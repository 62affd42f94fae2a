"""Pairs as training draws them, next to the frames that they are cut from."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPO
from tests.helpers.packing import pack
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex, VideoPairDataset
from vicmae_mm.visualization.pairs import draw_samples, trace_sample

OPEN, DECODE = dict(type='vicmae_mm.VideoInit'), dict(type='vicmae_mm.VideoDecode')
FLIP = dict(type='vicmae_mm.PerFrame', transforms=[
    dict(type='mmpretrain.RandomFlip', prob=0.5), dict(type='mmpretrain.CenterCrop', crop_size=48)])
PACK = dict(type='vicmae_mm.PackFrames')
CLIP = [OPEN, dict(type='vicmae_mm.SampleClipPair', clip_len=6, frame_interval=2), DECODE,
        dict(type='mmaction.FormatShape', input_format='NCTHW'), PACK]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / 'videos').mkdir()
    for name in 'ab':
        make_video(tmp_path / 'videos' / f'{name}.mp4', 40, size=(96, 64), fps=25)
    return tmp_path / 'videos'


def build(folder: Path, *steps: dict, **kwargs) -> VideoPairDataset:
    return VideoPairDataset(data_prefix=dict(video=str(folder)), pipeline=steps,
                            decode_timeout=None, **kwargs)


def test_the_sample_is_that_of_training(folder):
    dataset = build(folder, OPEN, dict(type='vicmae_mm.SampleFramePair', num_pairs=2), DECODE,
                    FLIP, PACK)
    index = SampleIndex(1, 7, 3)
    sample = trace_sample(dataset, index)
    trained = [view.permute(1, 2, 0).numpy() for view in dataset[index]['inputs']]
    assert sample.views.shape == (4, 1, 48, 48, 3)
    np.testing.assert_array_equal(sample.views[:, 0], trained)
    assert [read_frame_number(frame) for frame in sample.whole] == sample.frames.ravel().tolist()
    assert (sample.total, sample.fps) == (40, pytest.approx(25))
    assert draw_samples([sample, sample]).shape[1] == 4 * (192 + 6) + 6  # small ones are enlarged


def test_captions_have_numbers_and_seconds(folder, monkeypatch):
    captions = []
    monkeypatch.setattr('vicmae_mm.visualization.pairs.draw_grid', lambda titles, sections:
                        captions.append([caption for caption, _ in sections]))
    pair = [OPEN, dict(type='vicmae_mm.SampleFramePair'), DECODE, PACK]
    sample = trace_sample(build(folder, *pair), SampleIndex(0, 0, 0))
    first, second = sample.frames.ravel()
    draw_samples([sample])
    assert captions[-1] == [f'{folder}/a.mp4: frames {first} ({first / 25:.2f} s) and {second} '
                            f'({second / 25:.2f} s) of 40']
    one = dict(type='vicmae_mm.SampleFramePair', num_frames=1)
    draw_samples([trace_sample(build(folder, OPEN, one, DECODE, PACK), SampleIndex(0, 0, 0))])
    assert ': frame ' in captions[-1][0] and ' and ' not in captions[-1][0]
    clips = trace_sample(build(folder, *CLIP), SampleIndex(0, 0, 0))
    assert clips.frames.shape == (2, 6) and clips.views.shape[1] == 6
    draw_samples([clips])
    a, b = clips.frames[0, [0, -1]]
    assert f'frames {a}-{b} ({a / 25:.2f}-{b / 25:.2f} s) and' in captions[-1][0]


def test_packed_frames_have_the_times_of_their_video(folder, tmp_path):
    pack(folder, tmp_path / 'packed')
    dataset = PackedFrameDataset(str(tmp_path / 'packed'), [
        dict(type='vicmae_mm.SampleFramePair'), DECODE, PACK])
    sample = trace_sample(dataset, SampleIndex(0, 0, 0), str(folder))
    assert sample.fps == pytest.approx(25) and sample.total == 40
    sample = trace_sample(dataset, SampleIndex(0, 0, 0))
    assert sample.fps == 0 and draw_samples([sample]).dtype == np.uint8


@pytest.mark.parametrize('steps', [
    [OPEN, dict(type='mmaction.SampleFrames', clip_len=2), DECODE,
     dict(type='mmaction.FormatShape', input_format='NCTHW'),
     dict(type='mmaction.PackActionInputs')],
    [OPEN, dict(type='vicmae_mm.RepeatAug', transforms=[],
                sample_frames=dict(type='mmaction.SampleFrames', clip_len=2))]])
def test_other_pipelines_are_refused(folder, steps):
    with pytest.raises(ValueError, match='does not draw pairs of frames: vicmae browse'):
        trace_sample(build(folder, *steps), 0)


def test_tool(folder, tmp_path, monkeypatch, capsys):
    (folder / 'bad.mp4').write_text('no video')
    out = tmp_path / 'new' / 'pairs.png'
    monkeypatch.setattr(sys, 'argv', [
        'browse_pairs.py', str(REPO / 'configs/vicmae_vit-b16_k400.py'), '--out', str(out),
        '--cfg-options', 'train_dataloader.dataset.data_root=',
        'train_dataloader.dataset.ann_file=',
        f'train_dataloader.dataset.data_prefix.video={folder}'])
    with pytest.raises(SystemExit, match=r'^3$'):
        runpy.run_path(str(REPO / 'tools/browse_pairs.py'), run_name='__main__')
    assert Image.open(out).width == 4 * (224 + 6) + 6
    printed = capsys.readouterr()
    assert f'Wrote {out}: 2 samples of 3' in printed.out and 'bad.mp4: is not' in printed.err
