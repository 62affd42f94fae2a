"""tools/train.py and tools/test.py: options, resuming, and errors in one line."""
import json
import logging
import os
import pickle
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from tests.conftest import REPO
from tests.helpers.tiny_configs import write_mae, write_recognizer
from tests.helpers.videos import make_video
from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY

CONFIG = str(REPO / 'configs/vicmae_vit-b16_k400.py')


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Runs a tool in this process as on the command line; returns its globals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)

    def run(name: str, *args: object, run_name: str = '__main__') -> dict:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        return runpy.run_path(str(REPO / 'tools' / name), run_name=run_name)

    return run


@pytest.fixture
def merged(tool):
    """The config that train.py or test.py would run."""

    def merge(name: str, *args: object) -> Config:
        functions = tool(name, *args, run_name='imported')
        options = functions['parse_args']()
        if name == 'train.py':
            return functions['read_train_config'](options)
        cfg = Config.fromfile(options.config)
        functions['merge_args'](cfg, options)
        return cfg

    return merge


def test_home_folder_is_expanded_in_every_path(merged, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    cfg = merged('train.py', CONFIG, '--work-dir', '~/run', '--cfg-options',
                 'train_dataloader.dataset.data_prefix.video=~/videos',
                 'train_dataloader.dataset.ann_file=~/list.txt',
                 'train_dataloader.dataset.pipeline.0.index_dir=~/index',
                 'model.backbone.init_cfg.checkpoint=~/a.safetensors')
    dataset = cfg.train_dataloader.dataset
    found = [cfg.work_dir, dataset.data_prefix.video, dataset.ann_file,
             dataset.pipeline[0].index_dir, cfg.model.backbone.init_cfg.checkpoint]
    names = ['run', 'videos', 'list.txt', 'index', 'a.safetensors']
    assert found == [str(tmp_path / name) for name in names]


def test_train_and_resume(tool, tmp_path):
    config = write_mae(tmp_path)
    tool('train.py', config)
    work_dir = tmp_path / 'work_dirs/mae'  # from the config's name
    tool('train.py', config, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    assert torch.load(work_dir / 'epoch_2.pth')['meta']['iter'] == 4
    tool('train.py', config, '--resume', work_dir / 'epoch_1.pth', '--work-dir', 'other',
         '--cfg-options', 'train_cfg.max_epochs=2', 'train_dataloader.num_workers=1')
    a, b = (torch.load(f / 'epoch_2.pth')['state_dict'] for f in (work_dir, tmp_path / 'other'))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_test_writes_predictions_and_metrics(tool, tmp_path):
    config = write_recognizer(tmp_path)
    tool('train.py', config)
    checkpoint = 'work_dirs/recognizer/epoch_1.pth'
    tool('test.py', config, checkpoint, '--out', 'out.pkl')
    assert len(pickle.loads(Path('out.pkl').read_bytes())) == 4
    for _ in range(2):
        tool('test.py', config, checkpoint, '--out', 'new/out.json', '--out-item', 'metrics')
        assert 'acc/top1' in json.loads(Path('new/out.json').read_text())
    logs = [path.read_text() for path in Path('work_dirs/recognizer').glob('*/*.log')]
    assert sum('new/out.json exists: the test will replace it' in log for log in logs) == 1


def test_loaders_get_the_defaults_of_their_library(merged, tmp_path):
    mae = merged('train.py', write_mae(tmp_path), '--cfg-options',
                 'train_dataloader.num_workers=2').train_dataloader
    assert mae.pin_memory == torch.cuda.is_available()
    assert mae.collate_fn.type == 'default_collate'
    assert not mae.persistent_workers  # the config says so
    loader = merged('train.py', CONFIG).train_dataloader
    assert loader.persistent_workers and loader.num_workers
    assert not merged('train.py', CONFIG, '--no-persistent-workers', '--no-pin-memory'
                      ).train_dataloader.pin_memory
    assert not merged('train.py', CONFIG, '--cfg-options', 'train_dataloader.num_workers=0'
                      ).train_dataloader.persistent_workers
    (tmp_path / 'b').mkdir()
    recognizer = merged('train.py', write_recognizer(tmp_path / 'b')).train_dataloader
    assert 'collate_fn' not in recognizer and not recognizer.get('pin_memory')


@pytest.mark.parametrize('kind, after', [
    ('OptimWrapper', 'vicmae_mm.BF16OptimWrapper'), (None, 'vicmae_mm.BF16OptimWrapper'),
    ('AmpOptimWrapper', 'AmpOptimWrapper'),
    ('vicmae_mm.BF16OptimWrapper', 'vicmae_mm.BF16OptimWrapper')])
def test_amp(kind, after, merged, tmp_path):
    config = tmp_path / 'a.py'
    config.write_text(f'optim_wrapper = dict(type={kind!r})' if kind else 'optim_wrapper = dict()')
    assert merged('train.py', config, '--amp').optim_wrapper.type == after
    from mmengine.registry import OPTIM_WRAPPERS
    assert OPTIM_WRAPPERS.get(after) is not None


def test_amp_refuses_other_wrappers(merged, tmp_path):
    (tmp_path / 'a.py').write_text("optim_wrapper = dict(type='ApexOptimWrapper')")
    with pytest.raises(ValueError, match='the config has "ApexOptimWrapper"'):
        merged('train.py', tmp_path / 'a.py', '--amp')


def test_switches(merged, tmp_path):
    cfg = merged('train.py', CONFIG, '--auto-scale-lr', '--launcher', 'pytorch', '--no-validate',
                 '--work-dir', 'w', '--local-rank', '3', '--cfg-options',
                 'val_dataloader.batch_size=4')
    assert cfg.auto_scale_lr.enable and cfg.launcher == 'pytorch' and cfg.work_dir == 'w'
    assert cfg.val_cfg is cfg.val_dataloader is None
    assert os.environ['LOCAL_RANK'] == '3'
    with pytest.raises(ValueError, match='auto_scale_lr = dict'):
        merged('train.py', write_mae(tmp_path), '--auto-scale-lr')
    with pytest.raises(ValueError, match='FlexibleRunner does not count accumulated batches'):
        merged('train.py', CONFIG, '--auto-scale-lr', '--cfg-options', 'runner_type=FlexibleRunner')


def test_resume_and_load_from_do_not_overwrite_each_other(merged, tmp_path):
    (tmp_path / 'a.pth').touch()
    for asked, want in (([], False), (['--resume'], 'auto'), (['--resume', 'a.pth'], 'a.pth')):
        cfg = merged('train.py', CONFIG, *asked, '--cfg-options', 'load_from=x.pth')
        assert (cfg.resume, cfg.load_from) == (want, 'x.pth')


@pytest.mark.parametrize('arguments, want', [([], 'pytorch'), (['--launcher', 'slurm'], 'slurm')])
def test_launcher_of_the_environment(arguments, want, merged, monkeypatch):
    for name, value in (('RANK', '1'), ('WORLD_SIZE', '2'), ('LOCAL_RANK', '1')):
        monkeypatch.setenv(name, value)
    for tool, *checkpoint in (('train.py', ), ('test.py', __file__)):
        config = CONFIG if tool == 'train.py' else str(
            REPO / 'configs/transfer/imagenet/finetune_vit-b16.py')
        assert merged(tool, config, *checkpoint, *arguments).launcher == want


def broken_config(change: str):
    def write(folder: Path) -> list:
        config = write_mae(folder)
        config.write_text(config.read_text() + change)
        return [config]

    return write


@pytest.mark.parametrize('arguments, words', [
    (lambda folder: ['none.py'], 'none.py does not exist, and no shipped config'),
    (lambda folder: [CONFIG, '--resume', 'none.pth'], 'There is no checkpoint none.pth'),
    (broken_config('x = (\n'), "'(' was never closed"),
    (broken_config("model['type'] = 'Nonsense'\n"), 'Nonsense is not in the mmpretrain::model'),
    (broken_config("model['nonsense'] = 1\n"), "MAE has no argument 'nonsense'; it takes"),
    (broken_config("model['head'] = dict(type='LinearClsHead', num_clases=3, in_channels=3, "
                   "num_classes=2)\n"), "no argument 'num_clases'; did you mean num_classes?"),
    (broken_config("custom_imports = dict(imports=['no_such_module'])\n"),
     'error: Failed to import no_such_module'),
    (broken_config("load_from = 'none.pth'\n"),
     'There is no checkpoint none.pth: correct load_from'),
    (lambda folder: [CONFIG, '--cfg-options', 'model.pooling.mode=median'], "'median'"),
])
def test_wrong_input_is_one_line(arguments, words, tool, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(SystemExit) as caught:
        tool('train.py', *arguments(tmp_path))
    message = caught.value.code  # printed to stderr, exit status 1
    assert message.startswith('error: ') and words in message
    assert 'Traceback' not in message
    assert all(line.startswith('error: ') for line in message.splitlines())  # one per error
    monkeypatch.setenv('VICMAE_TRACEBACK', '1')
    with pytest.raises(Exception) as raw:
        tool('train.py', *arguments(Path(tmp_path.joinpath('b').mkdir() or tmp_path / 'b')))
    assert not isinstance(raw.value, SystemExit)


@pytest.mark.skipif(not CAN_LOAD_SAFELY, reason='torch before 2.6 refuses nothing')
def test_refused_checkpoint_is_one_line(tool, tmp_path):
    torch.save(dict(x=Path), tmp_path / 'evil.pth')
    with pytest.raises(SystemExit) as caught:
        tool('train.py', write_mae(tmp_path), '--resume', 'evil.pth')
    assert caught.value.code.startswith('error: Refused to load evil.pth')


@pytest.mark.parametrize('arguments, words', [
    (['none.pth'], 'There is no checkpoint none.pth'),
    ([__file__, '--out', 'a.txt'], '--out a.txt: must end in .pkl or .pickle'),
    ([__file__, '--out', 'a.pkl', '--out-item', 'metrics'], 'must end in .json or .yaml'),
    ([__file__, '--out', 'folder.pkl'], 'folder.pkl is a folder: name a file'),
    ([__file__, '--out', 'videos.txt/a.pkl'], 'videos.txt is not a folder'),
    ([__file__, '--out', 'videos.txt/b/a.pkl'], 'videos.txt/b: Not a directory'),
    ([__file__, '--out', '/proc/a.pkl'], '/proc'),
])
def test_wrong_input_to_test(arguments, words, tool, tmp_path):
    (tmp_path / 'folder.pkl').mkdir()
    with pytest.raises(SystemExit) as caught:
        tool('test.py', write_recognizer(tmp_path), *arguments)
    assert words in caught.value.code and 'Epoch(test)' not in caught.value.code


def test_pretraining_config_cannot_be_tested(tool):
    with pytest.raises(SystemExit) as caught:
        tool('test.py', CONFIG, __file__)
    assert 'has no test_dataloader' in caught.value.code


def test_a_missing_decoder_is_named(tool, tmp_path, monkeypatch):
    (tmp_path / 'videos').mkdir()
    make_video(tmp_path / 'videos' / 'a.mp4', 4)
    monkeypatch.setitem(sys.modules, 'torchcodec', None)
    options = ['data_root=', 'ann_file=', f'data_prefix.video={tmp_path / "videos"}',
               'pipeline.0.backend=torchcodec']
    dataset = [f'train_dataloader.dataset.{option}' for option in options]
    with pytest.raises(SystemExit, match=r'error: .*pip install torchcodec'):
        tool('train.py', CONFIG, '--work-dir', tmp_path / 'w', '--cfg-options', *dataset,
             'train_dataloader.num_workers=0', 'train_dataloader.batch_size=1',
             'model.backbone.arch=deit-t', 'model.decoder.embed_dim=192',
             'model.projector.in_channels=192', 'train_dataloader.drop_last=False')


def test_an_epoch_without_a_batch_is_refused(tool):
    loader = DataLoader(range(24), batch_size=100, drop_last=True)
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader))
    check_epoch = tool('train.py', run_name='imported')['check_epoch']
    with pytest.raises(ValueError, match=r'24 samples .* do not fill one batch of 100'):
        check_epoch(runner)


def test_the_test_part_is_checked_before_it_starts(tool, tmp_path):
    config = write_recognizer(tmp_path)
    for setting, words in {
            'test_dataloader.num_worker=1': "'num_worker'; did you mean num_workers?",
            'test_evaluator.metric_lst=a': "AccMetric has no argument 'metric_lst'",
            'model.cls_head.num_clases=3': 'did you mean num_classes?',
            'test_dataloder.batch_size=1': 'did you mean test_dataloader?'}.items():
        with pytest.raises(SystemExit) as caught:
            tool('test.py', config, __file__, '--work-dir', 'checked', '--cfg-options', setting)
        assert str(caught.value.code).startswith('error: ') and words in caught.value.code
    assert not Path('checked').exists()
