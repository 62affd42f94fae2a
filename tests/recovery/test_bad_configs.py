"""Bad configs are refused in one line that says what to do, before a GPU is used (promise 12)."""
import os
import random
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.conftest import REPO
from tests.helpers.models import shrink
from tests.helpers.videos import make_video
from vicmae_mm.commands.preflight import check_config

NUM_VIDEOS = 8
DATA = 'train_dataloader.dataset'
HEAD = 'model.contrast_head'
BATCH = 'train_dataloader.batch_size'


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    for index in range(NUM_VIDEOS):
        make_video(folder / f'{index}.mp4', num_frames=6)
    return folder


@pytest.fixture
def config(videos, tmp_path) -> Config:
    """The paper's config with two layers, on tiny videos."""
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-b16_k400.py')
    cfg = shrink(cfg, videos, tmp_path / 'work')
    cfg.train_cfg.max_epochs = 800  # that of the schedules
    cfg.launcher = 'none'
    return cfg


@pytest.fixture
def check(config):
    """Checks the config with changed settings."""

    def run(options=None, processes=1):
        config.merge_from_dict(options or {})
        return check_config(config, processes)

    return run


def test_a_good_config_passes(check):
    found = check()
    assert not found.errors
    assert f'data: {NUM_VIDEOS} samples for training; 4 read' in found.notes[0]
    assert 'model: its loss takes batches of 2 x (3, 32, 32) float32' in found.notes
    assert 'contrast: 6 negatives per frame, from 4 samples per step' in found.notes
    assert found.warnings == [
        'the learning rate 0.0024 is for 4,096 pairs per step, but this run has 4: '
        '--auto-scale-lr makes it 2.34375e-06']


# Settings that are wrong together, and the error of each. One that hides others is separate.
BAD = [
    {(f'{DATA}.ann_file', 'a.txt'): "'a.txt' does not exist. Set ann_file to",
     ('model.projector.in_channels', 16): 'set in_channels of the projector',
     ('default_hooks.collapse.type', 'ColapseHook'): 'ColapseHook is not in the',
     ('train_cfg.type', 'TranLoop'): "train_cfg.type='TranLoop' is not a registered loop: correct",
     ('load_from', 'none.pth'): 'There is no checkpoint none.pth: correct load_from',
     (BATCH, 0): 'batch_size should be a positive integer value, but got batch_size=0',
     ('work_dir', f'{__file__}/w'): 'choose another with --work-dir'},
    {(f'{DATA}.ann_file', '/'): 'is a folder. Set ann_file to',
     ('model.decoder.patch_size', 4): 'does not fit the backbone',
     ('param_scheduler.0.type', 'LinearLRR'): "param_scheduler.0.type='LinearLRR' is not a"},
    {(f'{DATA}.data_prefix.video', '/none'): '/none',
     ('model.type', 'vicmae_mm.ViCMEA'): 'vicmae_mm.ViCMEA is not in the'},
    {(f'{DATA}.pipeline.3.scale', 24):
     'built for 32 x 32 px but got 24 x 24: set backbone.img_size and the crop size',
     (BATCH, 100): 'lower train_dataloader.batch_size to 8 or less',
     ('train_dataloader.sampler.type', 'NoSampler'): 'NoSampler is not in the',
     ('optim_wrapper.optimizer.betaz', 1): "argument 'betaz'"},
    {(f'{DATA}.pipeline.1.num_frames', 1): 'use SampleFramePair with num_frames=2'},
    {(f'{DATA}.pipeline.0.type', 'vicmae_mm.VideoInt'): 'VideoInt is not in the',
     ('model.backbone.mask_ration', 0.5): "argument 'mask_ration'"},
    {('runner_type', 'Runer'): "runner_type='Runer' is not a registered runner"},
    {('optim_wrapper.clip_grad.max_nrm', 1.): "argument 'max_nrm'"},
]


@pytest.mark.parametrize('wrong', BAD)
def test_every_fault_has_one_line(wrong, check):
    errors = check(dict(wrong.keys())).errors
    assert len(errors) == len(wrong)
    for message in wrong.values():
        assert sum(message in line for line in errors) == 1, errors
    assert not any('\n' in line or 'Traceback' in line for line in errors)


def test_one_video_alone_gets_one_advice(check, videos, tmp_path):
    (tmp_path / 'list.txt').write_text('0.mp4\n')
    error, = check({f'{DATA}.ann_file': str(tmp_path / 'list.txt'), BATCH: 4}).errors
    assert 'others need at least two' in error and 'or less' not in error


def test_one_pair_alone_is_refused(check):
    error, = check({BATCH: 1}).errors
    assert 'A single pair has no negatives: set train_dataloader.batch_size to 2' in error


@pytest.mark.parametrize('options, message', [
    ({f'{HEAD}.same_video': 'left_out', f'{DATA}.pipeline.4.type': 'mmpretrain.PackInputs',
      f'{DATA}.pipeline.4.input_key': 'imgs'}, 'the video_id of vicmae_mm.PackFrames'),
    ({f'{HEAD}.same_video': 'left_out', f'{DATA}.ann_file': 'one'}, 'is the only file of'),
    ({f'{HEAD}.across_sources': False}, 'the source of vicmae_mm.MixedPairs'),
    ({f'{HEAD}.same_video': 'out'}, 'same_video must be one of')])
def test_negatives_that_samples_do_not_allow_are_refused(check, options, message, tmp_path):
    (tmp_path / 'one').write_text(4 * '0.mp4\n')
    if f'{DATA}.ann_file' in options:
        options = {**options, f'{DATA}.ann_file': str(tmp_path / 'one')}
    error, = check(options).errors
    assert message in error


@pytest.mark.parametrize('batch, processes, negatives', [(4, 1, 6), (1, 8, 14)])
def test_left_out_pairs_are_not_counted_as_certain_negatives(check, batch, processes, negatives):
    found = check({BATCH: batch, f'{HEAD}.same_video': 'left_out'}, processes)
    assert not found.errors
    assert f'contrast: at most {negatives} negatives per frame, from {batch * processes} ' \
        'samples per step' in found.notes


def test_bad_videos_are_a_warning_and_an_error_if_there_are_only_bad_ones(check, videos, tmp_path):
    names = [f'{index}.mp4' for index in range(NUM_VIDEOS)]
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    options = {f'{DATA}.ann_file': str(tmp_path / 'list.txt'), f'{DATA}.allow_outside_root': True,
               f'{DATA}.max_bad_share': 0.5}
    (tmp_path / 'list.txt').write_text('\n'.join([str(tmp_path / 'bad.mp4'), *names]))
    found = check(options)
    assert not found.errors and any('bad.mp4' in line for line in found.warnings)
    (tmp_path / 'list.txt').write_text(str(tmp_path / 'bad.mp4'))
    assert any('bad' in line for line in check(options).errors)


def test_one_pair_per_process_has_the_negatives_of_the_other_processes(check):
    found = check({BATCH: 1}, processes=8)
    assert not found.errors
    assert '1 pair per process: all 14 negatives come from the other processes' in found.warnings


def test_unsynchronised_batch_norm_needs_two_samples(check):
    found = check({BATCH: 1, 'model.projector.norm_cfg': dict(type='BN1d')}, processes=8)
    assert 'statistics of a single sample' in found.errors[0]


@pytest.mark.parametrize(('processes', 'round_up', 'advice'), [
    (3, False, 'to 2 or less'), (3, True, None), (9, False, 'train on fewer processes')])
def test_a_batch_is_compared_with_what_the_sampler_gives(processes, round_up, advice, check):
    errors = check({BATCH: 3 if processes == 3 else 1,
                    'train_dataloader.sampler.round_up': round_up}, processes).errors
    assert [line.endswith(advice) for line in errors] == [True] if advice else not errors


def test_accumulation_adds_no_negatives(check):
    found = check({'optim_wrapper.accumulative_counts': 8}, processes=2)
    assert any('adds no negatives and no samples to BatchNorm: the contrast sees the 8 pairs of '
               'one forward pass, not 64' in line for line in found.warnings)


PAIRS = f'{DATA}.pipeline.1.num_pairs'


@pytest.mark.parametrize(('change', 'processes', 'batch'), [
    ({'optim_wrapper.accumulative_counts': 8}, 2, 64), ({PAIRS: 3}, 2, 24),
    ({PAIRS: 2, 'optim_wrapper.accumulative_counts': 512, BATCH: 2}, 2, None)])
def test_the_learning_rate_is_for_a_step_of_the_optimizer(change, processes, batch, check):
    """The last makes 4,096 pairs, which the learning rate is for."""
    lines = [line for line in check(change, processes).warnings if 'learning rate' in line]
    assert lines == ([] if batch is None else [
        f'the learning rate 0.0024 is for 4,096 pairs per step, but this run has {batch}: '
        f'--auto-scale-lr makes it {0.0024 * batch / 4096:g}'])


def test_pairs_of_a_video_are_counted(check):
    found = check({PAIRS: 3, BATCH: 1, 'optim_wrapper.accumulative_counts': 3}, processes=2)
    assert any('sees the 6 pairs of one forward pass, not 18' in line for line in found.warnings)
    assert any(line.startswith('3 pairs of one video per process: all 6 negatives')
               for line in found.warnings)


def test_accumulation_over_the_end_of_an_epoch(check):
    lines = check({'optim_wrapper.accumulative_counts': NUM_VIDEOS, BATCH: 2}).warnings
    assert any('does not divide the' in line and 'lacks the gradients' in line for line in lines)
    lines = check({'optim_wrapper.accumulative_counts': NUM_VIDEOS // 2}).warnings
    assert not any('does not divide' in line for line in lines)


def state():
    """State of the process that a check must not change."""
    return (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
            str(DefaultScope.get_current_instance()), set(MMLogger._instance_dict),
            set(MessageHub._instance_dict), set(os.listdir('/proc/self/fd')))


def test_a_check_leaves_no_trace(config, check):
    check()  # imports what training would import next
    children = Path(f'/proc/self/task/{os.getpid()}/children')  # running or dead
    before, text, others = state(), config.pretty_text, children.read_text()
    check()
    assert state() == before and config.pretty_text == text
    assert not Path(config.work_dir).exists()
    assert children.read_text() == others


@pytest.mark.parametrize('rank', [0, 1])
def test_train_py_stops_before_the_runner(rank, config, tmp_path, monkeypatch, capsys):
    config.train_dataloader.batch_size = 0
    config.dump(tmp_path / 'bad.py')
    for name, value in dict(RANK=rank, WORLD_SIZE=2, LOCAL_RANK=rank,
                            MASTER_ADDR='127.0.0.1', MASTER_PORT=0).items():
        monkeypatch.setenv(name, str(value))
    built = []
    stock = Runner.from_cfg.__func__

    def from_cfg(cls, cfg):  # the check builds a subclass, in a process of its own
        if cls.__name__ == 'DryRunner':
            return stock(cls, cfg)
        built.append(cfg)
        sys.exit('built')

    monkeypatch.setattr(Runner, 'from_cfg', classmethod(from_cfg))
    monkeypatch.setattr(sys, 'argv', ['train.py', str(tmp_path / 'bad.py'), '--launcher',
                                      'pytorch'])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(REPO / 'tools/train.py'), run_name='__main__')
    if rank == 0:
        assert caught.value.code.startswith(
            'error (rank 0): train_dataloader: ValueError: batch_size should')
    assert bool(built) == (rank != 0)  # the first process checks for all
    assert not torch.cuda.is_initialized() and not torch.distributed.is_initialized()
