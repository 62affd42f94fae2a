"""The timed step is that of training, and what is printed about it is correct."""
import argparse

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from benchmarks import step, step_costs, timing
from benchmarks.step_costs import Compilation, Peak, StepCost, measure_steps, run_processes
from benchmarks.timing import REST, Clock, PartTimer
from benchmarks.training_step import TrainingStep, mmpretrain_mae, with_compile, without_contrast
from tests.benchmarks.step_configs import tiny_step_config, write_tiny_step_config
from tests.helpers.distributed import run_distributed
from vicmae_mm.models.layers.packed_attention import PackedAttention

CPU = torch.device('cpu')


def command(*words: str) -> argparse.Namespace:
    """The options of ``benchmarks/run.py step``."""
    parser = argparse.ArgumentParser()
    step.add_arguments(parser)
    return parser.parse_args([*words, '--device', 'cpu'])


def test_a_step_trains():
    training = TrainingStep(tiny_step_config(), 4, CPU)
    before = {name: p.detach().clone() for name, p in training.bare_model.named_parameters()}
    losses = training()
    assert {'loss_recon', 'loss_contrast'} <= losses.keys()
    for name, parameter in training.bare_model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name]) == (not parameter.requires_grad), name


def test_frames_are_bytes_in_the_shape_of_the_loader():
    training = TrainingStep(tiny_step_config(), 4, CPU)
    first, second = training.batch['inputs']
    assert first.shape == second.shape == (4, 3, 32, 32) and first.dtype == torch.uint8
    assert len(training.batch['data_samples']) == 4
    stock = TrainingStep(mmpretrain_mae(tiny_step_config()), 4, CPU)
    assert stock.batch['inputs'].shape == (8, 3, 32, 32)


def test_checkpointing_is_turned_on():
    cfg = tiny_step_config()
    cfg.activation_checkpointing = ['backbone.layers.1']
    layers = TrainingStep(cfg, 2, CPU).bare_model.backbone.layers
    assert 'forward' in vars(layers[1]) and 'forward' not in vars(layers[0])


def test_hooks_that_change_how_the_model_computes_are_the_configs():
    cfg = tiny_step_config()
    cfg.default_hooks = dict(
        logger=None, attention=dict(type='vicmae_mm.PackedAttentionHook'),
        compile=dict(type='vicmae_mm.CompileHook', backend='eager'),
        timer=dict(type='IterTimerHook'))
    training = TrainingStep(cfg, 4, CPU)
    assert isinstance(training.bare_model.backbone.layers[0].attn, PackedAttention)
    assert training.compiled and 'hidden_patch_loss' in vars(training.bare_model)


def test_a_config_is_compiled_in_its_own_way():
    plain = tiny_step_config()
    own = dict(type='vicmae_mm.CompileHook', mode='max-autotune')
    assert with_compile(plain).custom_hooks == [dict(type='vicmae_mm.CompileHook')]
    assert 'custom_hooks' not in plain
    plain.default_hooks = dict(compile=own, logger=None)
    assert with_compile(plain).to_dict() == plain.to_dict()


def test_another_model_is_refused():
    cfg = tiny_step_config()
    cfg.model = dict(type='mmpretrain.SimSiam', backbone=dict(type='mmpretrain.ResNet', depth=18))
    with pytest.raises(ValueError, match='is SimSiam, but only steps of pre-training are meas'):
        TrainingStep(cfg, 2, CPU)


def test_the_baseline_is_mmpretrains_in_our_sizes():
    cfg = tiny_step_config()
    cfg.model.backbone.mask_ratio = 0.5
    stock = TrainingStep(mmpretrain_mae(cfg), 2, CPU)
    assert {type(part).__module__.split('.')[0] for part in stock.bare_model.modules()} == {
        'torch', 'mmpretrain', 'mmcv', 'mmengine'}
    assert stock.bare_model.backbone.mask_ratio == 0.5
    ours = TrainingStep(without_contrast(cfg), 2, CPU).bare_model
    assert {n: p.shape for n, p in stock.bare_model.named_parameters()} == {
        n: p.shape for n, p in ours.named_parameters()}
    assert not stock.optim_wrapper.optimizer.defaults['fused']
    assert stock.optim_wrapper.optimizer.defaults['betas'] == (0.9, 0.95)


def test_no_decoder_no_baseline():
    with pytest.raises(ValueError, match='no decoder'):
        mmpretrain_mae(tiny_step_config(decoder=None, head=None))


def test_a_model_without_room_does_not_stop_the_others(monkeypatch):
    class Large(TrainingStep):
        def __call__(self):
            if self.bare_model.contrast_head is not None:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory')
            return super().__call__()

    monkeypatch.setattr(step_costs, 'TrainingStep', Large)
    cfg = tiny_step_config()
    costs, _ = measure_steps(
        CPU, {'large': cfg, 'small': without_contrast(cfg)}, 2, rounds=3)
    assert costs['large'] is None
    assert costs['small'] is not None and costs['small'].seconds.shape == (3,)


def test_the_peak_is_the_best_of_the_sizes(monkeypatch):
    monkeypatch.setitem(step_costs.MATRIX_SIZES, 'cpu', (8, 16, 32))
    seconds = iter(([4., 1., 2.], [1., 1., 1.], [50., 50., 50.]))
    monkeypatch.setattr(
        timing, 'interleave', lambda methods, *_: {
            name: np.array(next(seconds)) for name in methods})
    peak = step_costs.measure_peak(CPU, Clock())
    assert (peak.flops, peak.size, peak.dtype) == (2 * 16**3, 16, torch.float32)


def test_time_of_a_part_is_not_that_of_its_callers(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setitem(timing.CLOCKS, 'ticks', lambda: next(ticks))
    timer = PartTimer(Clock('ticks'))

    class Model:
        def outer(self) -> None:
            self.inner()
            self.inner()

        def inner(self) -> None:
            pass

    model = Model()
    model.outer = timer.wrap(model.outer, 'outer')
    model.inner = timer.wrap(model.inner, 'inner')
    assert timer.measure(model.outer) == {REST: 2, 'outer': 3, 'inner': 2}


def test_the_command_in_two_processes(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(step_costs.MATRIX_SIZES, 'cpu', (64, ))
    step.run(command(write_tiny_step_config(tmp_path), '--batch-size', '4', '--devices', '2',
                     '--steps', '2', '--baseline', '--profile'))
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in printed.splitlines()
            if line.startswith(('| mmpretrain', '| without', '| the config'))]
    assert [row[:3] for row in rows] == [
        [name, '2', '4'] for name in ('mmpretrain MAE', 'without contrast', 'the config')]
    for row in rows:
        pairs, milliseconds = float(row[3]), float(row[4].split()[0])
        assert pairs == pytest.approx(2 * 4 / milliseconds * 1e3, rel=0.02)
    assert rows[0][8:] == ['1.000', '1.000']
    for part in ('preprocessing', 'masking', 'encoder: MLP', 'decoder: attention', 'backward',
                 'optimizer', 'pooling, projector, contrast, monitors'):
        assert f'| {part} ' in printed


def test_rows_are_printed_before_the_next_is_measured(tmp_path, capsys, monkeypatch):

    def measure(device, cfgs, batch_size, rounds, clock):
        if batch_size == 8:
            assert '| the config       | 1         | 4 ' in capsys.readouterr().out
            raise KeyboardInterrupt
        return ({'the config': StepCost(np.array([2., 1., 3.]), 2**20)},
                Compilation(seconds=60., graphs=2, breaks=0, later=0))

    monkeypatch.setattr(step, 'measure_steps', measure)
    monkeypatch.setattr(step, 'measure_peak', lambda *_, **__: Peak(1e9, 8, torch.float32))
    with pytest.raises(KeyboardInterrupt):
        step.run(command(write_tiny_step_config(tmp_path), '--batch-size', '4', '8', '--compile'))
    assert '1 x 4 pairs: 60.0 s for the first steps, 2 graphs, 0' in capsys.readouterr().out


def _gradients_are_shared() -> list[float]:
    training = TrainingStep(tiny_step_config(), 2, CPU)
    assert isinstance(training.model, DistributedDataParallel)
    training()
    return [float(parameter.sum()) for parameter in training.bare_model.parameters()]


def test_processes_train_one_model():
    first, second = run_distributed(_gradients_are_shared, 2)
    assert first == second


def _without_room(device: torch.device) -> None:
    raise torch.cuda.OutOfMemoryError('CUDA out of memory')


def test_a_process_without_room_is_told():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run_processes(_without_room, 2, 'cpu')


def test_options_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match='--'):
        step.run(command(write_tiny_step_config(tmp_path), '--clock', 'cpu', '--devices', '2'))


@pytest.mark.gpu
def test_on_a_gpu(tmp_path, capsys):
    args = command(write_tiny_step_config(tmp_path), '--steps', '2', '--baseline', '--profile')
    args.device = 'cuda'
    step.run(args)
    assert 'peak memory' in capsys.readouterr().out
