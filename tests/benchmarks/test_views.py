"""Both ways to the views of a test are built from one config, compared and timed."""
import argparse
import time

import pytest
from torch.utils.data import DataLoader

from benchmarks import views
from benchmarks.timing import deliver
from benchmarks.views import stock_pipeline
from tests.helpers.videos import make_video

CONFIG = '''
custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
default_scope = 'mmaction'
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(type='vicmae_mm.ViewsDataPreprocessor', mean=[127.] * 3, std=[60.] * 3,
                           format_shape='NCTHW'),
    backbone=dict(
        type='vicmae_mm.VideoViT', img_size=32, patch_size=16, num_frames=4,
        out_type='avg_featmap', arch=dict(
            embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)),
    cls_head=dict(type='TimeSformerHead', num_classes=3, in_channels=16, average_clips='prob'))
test_dataloader = dict(
    num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vicmae_mm.VideoPairDataset', test_mode=True, pipeline=[
        dict(type='vicmae_mm.VideoInit'),
        dict(type='SampleFrames', clip_len=4, frame_interval=2, num_clips=3, test_mode=True),
        dict(type='vicmae_mm.VideoDecode'),
        dict(type='vicmae_mm.PackViews', crop_size=32, meta_keys=('img_shape', ), transforms=[
            dict(type='Resize', scale=(-1, 32))])]))
'''


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """The command line for the config and a video, which is not encoded: test_decode does that."""
    monkeypatch.setattr(views, 'encode', lambda pieces, folder, gop: pieces)
    (tmp_path / 'config.py').write_text(CONFIG)
    video = make_video(tmp_path / 'video.mp4', 30, size=(96, 64), fps=20)
    parser = argparse.ArgumentParser()
    views.add_arguments(parser)
    return lambda *words: parser.parse_args([
        str(tmp_path / 'config.py'), str(video), '--seconds', '1', '--clips', '1', '--rounds', '1',
        '--device', 'cpu', *words])


def rows(printed, first):
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in printed.splitlines() if line.startswith(f'| {first} ')]


def test_prints_stages_and_deliveries_of_both(arguments, capsys):
    pytest.importorskip('decord')
    views.run(arguments('--model', '--workers', '1'))
    printed = capsys.readouterr().out
    assert 'Views of 9 x 3 x 4 x 32 x 32 bytes, equal in all clips' in printed
    for stage in ('open', 'sample', 'decode', 'resize', 'views', 'all, median'):
        (_, stock, ours, _), = rows(printed, stage)
        # a stage of a tiny clip can take less than the tenth of a millisecond that is shown
        assert stage not in ('decode', 'all, median') or float(stock) + float(ours) > 0
    for made in ('bytes on cpu', 'normalised', 'scores'):
        stock, ours = rows(printed, made)
        assert (stock[1], ours[1]) == (views.STOCK, views.OURS)
        assert stock[3] == '1.00 (1.00 to 1.00)'
    assert 'Scores differ by 0.0e+00 at most' in printed


def test_other_views_are_reported(arguments, capsys, monkeypatch):
    pytest.importorskip('decord')
    monkeypatch.setattr(views, '_print_stages', lambda *_: None)
    monkeypatch.setattr(views, '_print_deliveries', lambda *_: None)
    monkeypatch.setitem(views.STOCK_STEPS, 'Resize', lambda step: [
        dict(step, interpolation='nearest')])
    views.run(arguments())
    assert '1 clips differ by up to ' in capsys.readouterr().out


def test_stock_pipeline_holds_nothing_of_ours():
    sample = dict(type='mmaction.SampleFrames', clip_len=4)
    pipeline = [dict(type='vicmae_mm.VideoInit', backend='torchcodec'), sample,
                dict(type='vicmae_mm.VideoDecode'),
                dict(type='vicmae_mm.PackViews', crop_size=8, meta_keys=('a', ),
                     transforms=[dict(type='mmaction.Resize', scale=(-1, 8))])]
    stock = stock_pipeline(pipeline)
    assert [step['type'] for step in stock] == [
        f'mmaction.{name}' for name in ('DecordInit', 'SampleFrames', 'DecordDecode', 'Resize',
                                        'ThreeCrop', 'FormatShape', 'PackActionInputs')]
    assert stock[4]['crop_size'] == 8 and stock[6]['meta_keys'] == ('a', )
    with pytest.raises(ValueError, match=r'no vicmae_mm\.PackViews'):
        stock_pipeline([sample])


class _Slow:
    """Takes 20 ms of a processor for a sample."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        start = time.process_time()
        while time.process_time() - start < 0.02:
            pass
        return index


def test_a_delivery_counts_what_workers_and_the_main_process_do():
    done = deliver(DataLoader(_Slow(), num_workers=2), int)
    assert done.results == list(range(8))
    assert done.wall > 0
    assert 0.01 < done.workers < 0.06  # counted in hundredths of a second, for 6 samples
    assert done.main < 0.02


@pytest.mark.parametrize('options', [('--rounds', '0'), ('--workers', '-1'), ('--seconds', '0')])
def test_options_out_of_range(arguments, options, capsys):
    with pytest.raises(SystemExit, match='2'):
        arguments(*options)
    assert f'argument {options[0]}: must be ' in capsys.readouterr().err


def test_config_without_a_test(arguments, tmp_path):
    (tmp_path / 'config.py').write_text('model = None')
    with pytest.raises(ValueError, match='no test_dataloader and model'):
        views.run(arguments())
