"""The libraries' other tools, on what tiny runs with our hooks have left behind."""
import json
import logging
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

from tests.conftest import REPO
from tests.helpers.classifiers import classifier_config, write_photos
from tests.helpers.runs import tiny_runner
from tests.helpers.tiny_configs import write_recognizer
from tests.tools.test_stock_tools import tool

HOOKS = [dict(type=f'vicmae_mm.{name}') for name in
         ('CheckpointFitHook', 'ClassCountHook', 'BadVideoHook')]


@pytest.fixture(autouse=True)
def without_a_screen(monkeypatch, tmp_path):
    monkeypatch.setenv('MPLBACKEND', 'Agg')
    # mmaction2's confusion_matrix.py ends the logging of the whole process.
    monkeypatch.setattr(logging, 'shutdown', lambda: None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a tool in this process, which has imported vicmae_mm; returns what it prints."""
    def run(package: str, name: str, *args: object) -> str:
        path = str(tool(package, name))
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        # Runs of the same second would share one, which writes to the folder of the first.
        for kind in (Visualizer, *Visualizer.__subclasses__()):
            kind._instance_dict.clear()
        runpy.run_path(path, run_name='__main__')
        return capsys.readouterr().out
    return run


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    """The config and, in ``work``, the checkpoint of an image classifier."""
    folder = tmp_path_factory.mktemp('images')
    config = classifier_config(folder / 'work', write_photos(folder / 'photos'),
                               custom_hooks=HOOKS, log_level='INFO')
    runtime = Config.fromfile(REPO / 'configs/_base_/imagenet_runtime.py')
    config.default_hooks.visualization = runtime.default_hooks.visualization
    config.visualizer = runtime.visualizer
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].persistent_workers = False
    config.dump(folder / 'config.py')
    run_in(folder, 'mmpretrain', folder / 'config.py')
    return folder


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    """The same of a recognizer of videos."""
    folder = tmp_path_factory.mktemp('videos')
    path = write_recognizer(folder)
    path.write_text(path.read_text() + f'custom_hooks = {HOOKS}\n'
                    "test_dataloader['dataset']['data_prefix'] = dict(video='')\n")
    run_in(folder, 'mmaction', path)
    return folder


def run_in(folder: Path, package: str, config: Path) -> None:
    """Train with a library's tool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['train.py', str(config), '--work-dir', str(folder / 'work')])
        runpy.run_path(str(tool(package, 'train.py')), run_name='__main__')


@pytest.fixture(scope='module')
def scalars(tmp_path_factory) -> Path:
    """The log of pre-training with contrast from the second epoch on."""
    folder = tmp_path_factory.mktemp('pretraining')
    tiny_runner(folder, [dict(type='vicmae_mm.ContrastWeightHook', begin=1)]).train()
    path, = folder.glob('*/vis_data/scalars.json')
    return path


def test_curves_of_pretraining(run, scalars, tmp_path):
    """Their tool takes its keys from the first record, so contrast needs those that have it."""
    analyse = 'mmpretrain', 'analysis_tools/analyze_logs.py'
    run(*analyse, 'plot_curve', scalars, '--keys', 'loss', 'recon', '--out', 'loss.png')
    assert 'average iter time' in run(*analyse, 'cal_train_time', scalars)
    records = scalars.read_text().splitlines()
    contrast = [line for line in records if 'contrast' in json.loads(line)]
    assert len(records) > len(contrast) > 0  # docs/transfer.md greps for this
    assert all('"contrast":' in line for line in contrast)
    Path('contrast.json').write_text('\n'.join(contrast) + '\n')
    run(*analyse, 'plot_curve', 'contrast.json', '--keys', 'contrast', '--out', 'contrast.png')
    assert Path('loss.png').stat().st_size and Path('contrast.png').stat().st_size


def test_learning_rate(run):
    run('mmpretrain', 'visualization/vis_scheduler.py', REPO / 'configs/vicmae_vit-b16_k400.py',
        '--not-show', '--save-path', 'lr.png', '-d', 512)
    assert Path('lr.png').stat().st_size


def test_classifier(run, images):
    config, checkpoint = images / 'config.py', images / 'work/epoch_1.pth'
    run('mmpretrain', 'test.py', config, checkpoint, '--show-dir', 'shown', '--out', 'out.pkl',
        '--work-dir', 'test')
    assert list(Path('shown').iterdir())
    assert len(pickle.loads(Path('out.pkl').read_bytes())) == 6
    run('mmpretrain', 'analysis_tools/confusion_matrix.py', config, checkpoint, '--out', 'cm.pkl',
        '--show-path', 'cm.png')
    assert pickle.loads(Path('cm.pkl').read_bytes()).sum() == 6
    run('mmpretrain', 'visualization/browse_dataset.py', config, '--output-dir', 'browsed',
        '--not-show', '--mode', 'original', '-n', 2)
    assert len(list(Path('browsed').iterdir())) >= 2
    run('mmpretrain', 'model_converters/publish_model.py', checkpoint, 'published.pth')
    published, = Path().glob('published_*.pth')
    run('mmpretrain', 'test.py', config, published, '--work-dir', 'test')


def test_recognizer(run, videos):
    config, checkpoint = videos / 'recognizer.py', videos / 'work/epoch_1.pth'
    run('mmaction', 'misc/clip_feature_extraction.py', config, checkpoint, 'features',
        '--spatial-type', 'keep', '--video-list', videos / 'videos.txt')
    written = pickle.loads((videos / '0.mp4.pkl').read_bytes())  # their paths are absolute
    assert np.shape(written)[-1] == 16
    run('mmaction', 'analysis_tools/confusion_matrix.py', config, checkpoint, '--out', 'cm.pkl')
    assert pickle.loads(Path('cm.pkl').read_bytes()).sum() == 4
    run('mmaction', 'deployment/publish_model.py', checkpoint, 'published.pth')
    assert list(Path().glob('published_*.pth'))
