"""The cost of reading is assigned to where it arises, and printed for a config."""
import argparse
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.models.utils.data_preprocessor import ClsDataPreprocessor

from benchmarks import data
from benchmarks.data_costs import (
    count_pairs,
    measure_delivery,
    measure_handover,
    watch_pipeline,
)
from benchmarks.timing import REST, Clock, PartTimer
from tests.helpers.videos import make_video
from vicmae_mm.datasets import PerFrame
from vicmae_mm.models import PairDataPreprocessor

CONFIG = '''
custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
model = dict(data_preprocessor=dict(type='vicmae_mm.PairDataPreprocessor', mean=[127.] * 3,
                                    std=[60.] * 3))
train_dataloader = dict(
    batch_size=4, num_workers=2, sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='mmengine.ConcatDataset', datasets=[dict(
        type='vicmae_mm.VideoPairDataset', data_prefix=dict(video={folder!r}), pipeline=[
            dict(type='vicmae_mm.VideoInit'),
            dict(type='vicmae_mm.SampleFramePair', num_pairs=2),
            dict(type='vicmae_mm.VideoDecode'),
            dict(type='vicmae_mm.PerFrame', transforms=[dict(type='CenterCrop', crop_size=16)]),
            dict(type='PackInputs', input_key='imgs')])]))
'''


@pytest.fixture
def config(tmp_path):
    """The config of two videos."""
    (tmp_path / 'clips').mkdir()
    for name in 'ab':
        make_video(tmp_path / 'clips' / f'{name}.mp4', num_frames=4)
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(folder=str(tmp_path / 'clips')))
    return str(path)


def arguments(*words):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    return parser.parse_args([*words, '--device', 'cpu'])


def rows(printed):
    """The tables' rows: first cell to the others."""
    cells = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in printed.splitlines() if line.startswith('| ')]
    return {first: others for first, *others in cells}


def test_prints_rate_stages_handover_and_cores(config, capsys):
    data.run(arguments(config, '--samples', '2', '--seconds', '0.1', '--workers', '1',
                       '--gpu-rate', '1000', '500'))
    printed = capsys.readouterr().out
    table = rows(printed)
    assert '2 samples make too short an epoch: they are read 6 times over' in printed
    assert 'pairs/s from 1 workers' in printed
    assert {'VideoInit', 'SampleFramePair', 'VideoDecode', 'PerFrame > CenterCrop', 'PackInputs',
            'to and from a process of its own', 'pseudo_collate, stacked on arrival'} <= set(table)
    stages = list(table)[:list(table).index('all of these')]
    total = sum(float(table[name][0]) for name in stages if name != 'in a worker')
    assert total == pytest.approx(float(table['all of these'][0]), abs=0.01)
    assert float(table['VideoInit'][0]) > 0
    workers = float(printed.split('which spend ')[1].split(' ms')[0])
    assert float(table['1,000'][0]) == pytest.approx(workers, abs=0.06)
    assert float(table['500'][0]) == pytest.approx(workers / 2, abs=0.06)
    assert float(table["the config's collate_fn"][1]) < float(
        table['pseudo_collate, stacked on arrival'][1])


@pytest.mark.parametrize('words', [
    ('--samples', '0'), ('--workers', '-1'), ('--seconds', 'nan'), ('--gpu-rate', '0')])
def test_refuses_options_out_of_range(config, words, capsys):
    with pytest.raises(SystemExit, match='2'):
        arguments(config, *words)
    assert f'argument {words[0]}: must be ' in capsys.readouterr().err


def test_refuses_a_config_without_training(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict()')
    with pytest.raises(ValueError, match='no train_dataloader'):
        data.run(arguments(str(path)))


def test_refuses_clips(config, tmp_path):
    path = tmp_path / 'clips.py'
    path.write_text(Path(config).read_text().replace(
        "dict(type='PackInputs', input_key='imgs')",
        "dict(type='mmaction.FormatShape', input_format='NCTHW'), "
        "dict(type='mmaction.PackActionInputs')"))
    with pytest.raises(ValueError, match='not images'):
        data.run(arguments(str(path), '--samples', '1', '--workers', '1'))


def burn(seconds):
    """A transform that costs that much CPU."""
    def transform(results):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return results
    return transform


def test_a_stage_is_counted_without_those_inside_it():
    pipeline = Compose([burn(0.005), PerFrame([burn(0.02)])])
    timer = PartTimer(Clock('cpu'))
    watch_pipeline(timer, pipeline)
    seconds = timer.measure(lambda: pipeline(dict(imgs=[np.zeros((4, 4, 3), np.uint8)] * 2)))
    assert list(seconds) == [REST, 'transform', 'PerFrame', 'PerFrame > transform']
    assert seconds['transform'] >= 0.005
    assert seconds['PerFrame > transform'] >= 0.04
    assert seconds['PerFrame'] < 0.02


@pytest.mark.parametrize('views, pairs', [(1, 3), (2, 3), (4, 6)])
def test_two_views_are_a_pair(views, pairs):
    assert count_pairs([torch.zeros(3, 3, 4, 4)] * views) == pairs
    assert count_pairs([[torch.zeros(3, 4, 4)] * 3] * views) == pairs


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_a_single_view_is_counted_as_one(collate):
    samples = [dict(inputs=torch.zeros(3, 16, 16, dtype=torch.uint8))] * 5
    assert count_pairs(collate(samples)['inputs']) == 5
    preprocessor, shapes = ClsDataPreprocessor(mean=[1.] * 3, std=[2.] * 3), set()
    preprocessor.register_forward_pre_hook(
        lambda _, args: shapes.add(args[0]['inputs'].shape))
    measure_handover(samples, collate, 5, preprocessor, 'cpu', num_batches=1)
    assert shapes == {(5, 3, 16, 16)}


class Costly(torch.utils.data.Dataset):
    """Samples of 5 ms of CPU."""

    def __len__(self):
        return 120

    def __getitem__(self, index):
        burn(0.005)(None)
        return dict(inputs=[torch.zeros(3, 4, 4)] * 2)


def test_the_work_of_all_workers_is_counted():
    rate, workers = measure_delivery(
        torch.utils.data.DataLoader(Costly(), batch_size=4, num_workers=2), seconds=60)
    assert workers >= 0.0025  # if this process was kept waiting, they have got ahead
    assert rate > 0


class SlowToStart:
    """Batches of three pairs, 5 ms each; the first takes as long as all that are measured."""

    num_workers, taken = 2, 0

    def __len__(self):
        return 200

    def __iter__(self):
        for self.taken in range(1, 201):
            burn(0.06 if self.taken == 1 else 0.005)(None)
            yield dict(inputs=[torch.zeros(3, 3, 4, 4)] * 2)


def test_whole_rounds_are_taken_until_the_time_is_up():
    loader = SlowToStart()
    rate, _ = measure_delivery(loader, seconds=0.05)
    assert loader.taken % 2 == 0 and loader.taken <= 2 + 12
    assert 3 * (loader.taken - 2) / rate >= 0.05


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_ready_samples_are_handed_over(collate):
    samples = [dict(inputs=[torch.full((3, 16, 16), i, dtype=torch.uint8)] * 2, data_samples=i)
               for i in range(3)]
    cost = measure_handover(samples, collate, 4, PairDataPreprocessor(mean=[1.] * 3, std=[2.] * 3),
                            'cpu', num_batches=2)
    assert cost.receive > 0 and cost.normalise > 0
    assert cost.main == cost.receive + cost.stack + cost.to_device
