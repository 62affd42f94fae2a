"""The commands ``contrast`` and ``memory`` print what they count and measure."""
import argparse
from types import ModuleType

import pytest
import torch
from mmengine.config import Config

from benchmarks import contrast, memory
from tests.benchmarks.step_configs import tiny_step_config, write_tiny_step_config
from tests.helpers.distributed import run_distributed


def run(module: ModuleType, *words: str) -> None:
    """Run a command as the command line would."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([*words, '--device', 'cpu']))


def rows(printed: str) -> list[list[str]]:
    """Cells of the rows of a table."""
    lines = [line for line in printed.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[2:]]


def resnet_config() -> Config:
    """Contrast alone, with another encoder."""
    return tiny_step_config(
        backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18), decoder=None, head=None,
        pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'),
        projector=dict(in_channels=512))


def test_contrast_of_a_batch_and_of_as_much_on_each(tmp_path, capsys):
    run(contrast, write_tiny_step_config(tmp_path), '--pairs', '128', '--processes', '2',
        '--rounds', '1')
    batch, each = rows(capsys.readouterr().out)
    assert (batch[0], each[0]) == ('64 x 2', '128 x 2')
    assert float(each[2]) > 3 * float(batch[2])  # grows with the square
    assert each[4:6] == ['0.125', '0.25 in 1']  # 2 x 128 x 2 x 64 and 128 x 512 numbers of 4 bytes
    assert float(batch[8]) > 0 and batch[10].endswith('%')


def test_gather_of_the_batch(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contrast, 'CPU_BYTES', 1)
    monkeypatch.setattr(contrast, 'run_processes', lambda *args: found.append(args) or 0.5)
    found: list[tuple] = []
    run(contrast, write_tiny_step_config(tmp_path), '--pairs', '512', '--processes', '2',
        '--gather')
    assert found == [(contrast._time_gather, 2, 'cpu', (256, 2, 64), 5)]
    assert '2 processes by gloo: 500.0 ms' in capsys.readouterr().out


def _gather_takes_time() -> bool:
    return contrast._time_gather(torch.device('cpu'), (4, 2, 8), 2) > 0


def test_gather_is_timed():
    assert run_distributed(_gather_takes_time, 2) == [True, True]


def test_what_takes_too_much_is_counted_but_not_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contrast, 'CPU_BYTES', 1)
    run(contrast, write_tiny_step_config(tmp_path), '--pairs', '8', '--processes', '2')
    assert [row[8] for row in rows(capsys.readouterr().out)] == ['not measured'] * 2


def test_contrast_of_another_kind(tmp_path):
    path = tmp_path / 'mae.py'
    tiny_step_config(contrast_head=None).dump(path)
    with pytest.raises(ValueError, match='no InfoNCEHead'):
        run(contrast, str(path), '--pairs', '8', '--processes', '2')


def test_contrast_of_another_encoder():
    with pytest.raises(ValueError, match='The encoder of the config is ResNet'):
        contrast.ContrastPart(resnet_config(), 2, 2, torch.device('cpu'))


def test_memory_of_the_usual_variants(tmp_path, capsys):
    run(memory, write_tiny_step_config(tmp_path), '--batch-size', '16', '--steps', '1')
    found = {row[0]: float(row[1]) for row in rows(capsys.readouterr().out)}
    assert found['the config'] > found['encoder checkpointed']
    assert found['the config'] > found['decoder in 4 chunks']
    assert min(found, key=found.__getitem__) == 'encoder checkpointed, decoder in 4 chunks'


def test_no_decoder_no_usual_variants(tmp_path):
    path = tmp_path / 'resnet.py'
    resnet_config().dump(path)
    with pytest.raises(ValueError, match='no decoder: name your own'):
        run(memory, str(path), '--steps', '0')


def test_memory_of_variants_of_ones_own(tmp_path, capsys):
    run(memory, write_tiny_step_config(tmp_path), '--batch-size', '16', '--steps', '0',
        '--variant', 'half as wide', 'model.decoder_chunks=2', 'model.backbone.mask_ratio=0.5',
        '--variant', 'nothing else')
    table = rows(capsys.readouterr().out)
    assert [row[0] for row in table] == ['the config', 'half as wide', 'nothing else']
    assert table[0][1] == table[2][1] != table[1][1]
