"""What train.py and test.py print, and that the log file has the rest."""
import logging
import re
import runpy
import shlex
import signal
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger, print_log
from mmengine.registry import HOOKS
from mmengine.visualization import Visualizer

from tests.conftest import REPO
from tests.helpers.tiny_configs import write_mae, write_recognizer
from vicmae_mm.commands.terminal import TerminalFormatter, is_for_people

FULL = ('Epoch(train)   [1][ 7/58]  base_lr: 6.0000e-04 lr: 2.3437e-15  eta: 1 day, 2:10:25  '
        'pairs/s: 432  data: 7%  time: 4.2677  data_time: 0.2984  memory: 39014  bad_videos: {}  '
        'loss: 1.7794  loss_recon: 1.7532  recon: 1.7532  loss_contrast: 0.0262  contrast: 1.0481  '
        'embedding_std: 0.7474  embedding_rank: 5.4206  pair_accuracy: 0.7500  '
        'contrast_weight: 0.0250  top1_acc: 0.5000  recon/in1k: 1.7000  recon/my clips: 1.8000')


@HOOKS.register_module(force=True)
class InterruptHook(Hook):
    """Presses Ctrl-C in the third iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def tool(monkeypatch, tmp_path, capsys):
    """Runs a tool in this process; returns its exit status and the lines that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('VICMAE_COMMAND', raising=False)
    monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    handlers = [signal.getsignal(number) for number in numbers]

    def run(name: str, *args: object) -> tuple[int, list[str]]:
        path = str(REPO / 'tools' / name)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        # Two runs of the same second would share them: a logger prints to the stderr of the first.
        for shared in (MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
            monkeypatch.setattr(shared, '_instance_dict', OrderedDict())
        status = 0
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, (out + err).splitlines()

    yield run
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def log_of(lines: list[str]) -> str:
    """Text of the log file that the last lines name."""
    return Path(re.findall(r'^  log +(.+)$', '\n'.join(lines), re.MULTILINE)[-1]).read_text()


def row(lines: list[str], name: str) -> str:
    return next(line.split(None, len(name.split()))[-1] for line in reversed(lines)
                if line.startswith(f'  {name} '))


def test_a_run_from_start_to_end(tool, tmp_path):
    config = write_mae(tmp_path)
    status, lines = tool('train.py', config, '--work-dir', 'a b')
    assert status == 0
    first = next(n for n, line in enumerate(lines) if line.startswith('epoch '))
    assert first < 25
    assert f'  data        4 of {tmp_path}/pictures: 2 batches of 2' in lines[:first]
    assert '0.001 at most, CosineAnnealingLR to epoch ' in row(lines[:first], 'lr')
    assert all(len(line) < 90 for line in lines if line.startswith(('epoch', 'Epoch')))
    text = log_of(lines)
    for words in ('System environment', 'Config:', 'Hooks will be executed', '"FileClient" will',
                  'data_time: '):
        assert words in text and words not in '\n'.join(lines)
    assert '"HardDiskBackend" is' not in '\n'.join(lines)  # said once per process
    assert f'{tmp_path}/a b is finished: 1 of 1 epochs, 2 of 2 steps done.' in lines
    train = f"vicmae train '{tmp_path}/a b/mae.py' --work-dir '{tmp_path}/a b' --resume"
    assert f'  to prolong  {train} --epochs 2' in lines
    assert row(lines, 'checkpoint').endswith('a b/epoch_1.pth')
    assert shlex.split(row(lines, 'to use it'))[:3] == [
        'vicmae', 'features', row(lines, 'checkpoint')]
    # Once more: finished before
    status, lines = tool('train.py', config, '--work-dir', 'a b', '--resume')
    assert not any('Loads checkpoint' in line for line in lines)  # mmengine prints it
    assert status == 0 and (
        f'{tmp_path}/a b is already finished: 1 of 1 epochs, 2 of 2 steps done.' in lines)
    assert f'  to prolong  {train} --epochs 2' in lines
    # As mmengine prints it
    _, lines = tool('train.py', config, '--work-dir', 'b', '--verbose')
    assert any('Hooks will be executed' in line for line in lines) and len(lines) > 100


def test_an_interrupted_run_says_how_to_go_on(tool, tmp_path):
    config = write_mae(tmp_path)
    with open(config, 'a') as file:
        file.write('custom_hooks = [dict(type="InterruptHook")]\n')
    status, lines = tool('train.py', config, '--epochs', '3', '--work-dir', 'w')
    assert status == 130 and 'Stopped: 1 of 3 epochs, 2 of 6 steps done.' in lines
    assert 'Stopped by Ctrl-C.' in lines and 'Traceback' not in '\n'.join(lines)
    assert row(lines, 'checkpoint').endswith('w/epoch_1.pth')
    command = row(lines, 'to continue')
    assert command == f'vicmae train {tmp_path}/w/mae.py --work-dir {tmp_path}/w --resume'
    # Another run in this work dir, without a checkpoint of its own: not --resume, from epoch_1.pth
    _, lines = tool('train.py', config, '--work-dir', 'w', '--epochs', '3', '--cfg-options',
                    'default_hooks.checkpoint=None')
    assert row(lines, 'to restart').endswith(f'/w/mae.py --work-dir {tmp_path}/w')
    text = (tmp_path / 'w/mae.py').read_text()
    (tmp_path / 'w/mae.py').write_text(text.replace('InterruptHook', 'SyncBuffersHook'))
    status, lines = tool('train.py', *shlex.split(command)[2:])
    assert status == 0 and f'{tmp_path}/w is finished: 3 of 3 epochs, 6 of 6 steps done.' in lines


def test_warnings_of_the_check_are_repeated_before_the_first_step_and_logged(tool, tmp_path):
    config = write_mae(tmp_path)
    with open(config, 'a') as file:
        file.write('auto_scale_lr = dict(base_batch_size=512)\n')
    _, lines = tool('train.py', config)
    found = [n for n, line in enumerate(lines) if line.startswith('warning: the learning rate')]
    first = next(n for n, line in enumerate(lines) if line.startswith('epoch '))
    assert found[0] == first - 1 and len(found) == 2  # stderr comes last here
    assert 'WARNING - the learning rate 0.001 is for 512' in log_of(lines)


def test_a_test(tool, tmp_path):
    config = write_recognizer(tmp_path)
    _, lines = tool('train.py', config)
    test = row(lines, 'to use it')
    assert f'/recognizer/recognizer.py {row(lines, "checkpoint")}' in test
    status, lines = tool('test.py', *test.split()[2:])
    assert status == 0 and len(lines) < 10
    assert any(line.startswith('Epoch(test) [2/2]    acc/top1 ') for line in lines)


def test_an_interval_is_one_line_of_what_matters():

    def shown(text: str, level: int = logging.INFO) -> str:
        return TerminalFormatter().format(logging.LogRecord('', level, '', 0, text, (), None))

    assert shown(FULL.format('0.0000')) == (
        'epoch 0.12  lr 2.3e-15  eta 1d2h  pairs/s 432  data 7%  '
        'recon 1.75  contrast 1.05  acc 0.75  top1_acc 0.5')
    assert '  bad 3  ' in shown(FULL.format('3.0000'))
    longest = 'Epoch(train) [800][1860/1875]' + FULL[FULL.index('  base_lr'):].format('0.0000')
    for name in ('recon: 1.7532', 'pair_accuracy: 0.7500'):
        longest = longest.replace(name, name[:-6] + '0.6789')
    line = shown(longest.replace('1 day, 2:10:25', '23:59:59').replace('  top1_acc: 0.5000', ''))
    assert line.startswith('epoch 799.99  ')
    assert len(line) <= 100 and line.endswith('recon 0.679  contrast 1.05  acc 0.679'), line
    assert shown('Iter(train) [ 20/1000]  lr: 1.0000e-02  eta: 0:01:02  samples/s: 9.5  data: 12%  '
                 'time: 1.0000  data_time: 0.1200  grad_norm: 2.5000  loss: 1.2345  '
                 'loss_cls: 1.2345  top1_acc: 0.5000  probe/knn: 62.5000') == (
        'Iter(train) [ 20/1000]  lr 0.01  eta 0:01:02  samples/s 9.5  data 12%  '
        'loss 1.23  top1_acc 0.5  probe/knn 62.5')
    assert shown('Epoch(val) [1][2/2]    acc/top1: 0.5000  data_time: 0.0123  time: 0.0234') == (
        'Epoch(val) [1][2/2]    acc/top1 0.5')
    # mmengine's own log processor does not say how many pairs or samples a step has
    assert shown('Epoch(train) [1][7/7]  lr: 1.0000e-02  eta: 0:01:02  time: 1.2345  '
                 'data_time: 0.5000  loss: 1.2345') == (
        'epoch 1.00  lr 0.01  eta 0:01:02  time 1.23  data 0.5  loss 1.23')
    for text in ('Epoch(val) [1][2/2]', 'resumed epoch: 3, iter: 4', 'Epoch(test) [2/2]  a: \n1'):
        assert shown(text) == text
    assert shown('100 % done', logging.WARNING) == 'warning: 100 % done'


def test_what_is_for_people(monkeypatch):
    logger = MMLogger.get_instance('test_terminal')
    texts = []

    def collect(record: logging.LogRecord) -> bool:
        texts.extend([record.getMessage()] if is_for_people(record) else [])
        return False

    # Taken back at the end: it would drop what later tests log, as long as this logger is current.
    monkeypatch.setattr(logger, 'filters', [collect])
    logger.info('of some package')
    print_log('of some package', 'test_terminal')
    logger.warning('careful')
    for text in ('The prefix is not set in metric class DumpResults.',
                 '"FileClient" will be deprecated in future.', '"HardDiskBackend" is the alias of',
                 'neck.decoder_pos_embed is skipped since its requires_grad=False',
                 'The model and loaded state dict do not match exactly\n\nmissing keys in source '
                 'state_dict: neck.mask_token, projector.layers.0.weight\n'):
        print_log(text, 'test_terminal', logging.WARNING)
    logger.warning('a.pth was written after epoch 4 of 4: nothing is left to train. To go on, ...')
    monkeypatch.setattr('vicmae_mm.commands.terminal._OURS', str(Path(__file__).parent))
    logger.info('bad videos: 0 of 29 (0.000 %)')
    logger.info('of ours')
    print_log('of ours', 'test_terminal')
    assert texts == ['careful', 'of ours', 'of ours']
