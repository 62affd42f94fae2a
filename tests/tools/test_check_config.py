"""tools/check_config.py: its output, and that it accepts configs that train."""
import os
import runpy
import sys

import pytest
from mmengine.config import Config

from tests.configs.test_imagenet_configs import data, load  # noqa: F401  (a fixture)
from tests.configs.test_imagenet_configs import shrink as shrink_photos
from tests.conftest import REPO
from tests.helpers.classifiers import classifier_config, photo_loader, write_photos
from tests.helpers.clip_configs import shrink_clips, write_pretrained, write_videos
from tests.helpers.tiny_configs import write_mae, write_recognizer
from vicmae_mm.commands.image_size import set_image_size
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.run_length import set_epochs


@pytest.fixture
def tool(monkeypatch, tmp_path, capsys):
    """Runs the tool; returns its exit status (or message), output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple:
        monkeypatch.setattr(sys, 'argv', ['check_config.py', *map(str, args)])
        status = None
        try:
            runpy.run_path(str(REPO / 'tools/check_config.py'), run_name='__main__')
        except SystemExit as end:
            status = end.code
        return (status, *capsys.readouterr())

    return run


def test_output(tool, tmp_path):
    config = write_mae(tmp_path)
    status, out, err = tool(config, '--devices', 2, '--cfg-options', 'train_cfg.max_epochs=3',
                            'model.backbone.mask_rato=0.5')
    assert status.startswith("error: model: MAEViT has no argument 'mask_rato'; did you mean")
    status, out, err = tool(config, '--devices', 2, '--cfg-options', 'train_cfg.max_epochs=3',
                            'allow_unknown=randomnes', 'randomnes.seed=3')
    assert status is None and out.startswith(f'{config}, 2 process(es):\n  data: 4 samples')
    assert out.endswith('This config can be trained.\n') and not err
    status, out, _ = tool(config, '--cfg-options', 'train_dataloader.batch_size=0',
                          'load_from=none.pth', 'randomnes.seed=3')
    assert [line[:7] for line in status.splitlines()] == ['error: '] * 3
    assert 'randomnes is not a setting; did you mean randomness?' in status
    assert 'can be trained' not in out


def test_a_check_that_dies_does_not_say_that_the_config_is_good(tool, tmp_path, monkeypatch):
    config = write_mae(tmp_path)
    for die, words in ((lambda *args: os._exit(9), 'exit code 9'),
                       (lambda *args: os.kill(os.getpid(), 9), 'SIGKILL; out of memory?')):
        monkeypatch.setattr('vicmae_mm.commands.preflight.config_check._check_run', die)
        status, out, err = tool(config)
        assert status == 'error: The config is not checked to the end; the warning above says why.'
        assert f'the config check died ({words})' in err and 'can be trained' not in out


def errors(cfg: Config) -> list[str]:
    cfg.launcher = 'none'
    return check_config(cfg).errors


@pytest.mark.parametrize('name', ['finetune_vit-b16', 'linear_vit-b16_lars'])
def test_photos(name, data, tmp_path):  # noqa: F811
    cfg = shrink_photos(load(name), data, tmp_path)
    set_epochs(cfg, 50)  # of a step each
    assert not errors(cfg)


def test_clips(tmp_path):
    cfg = Config.fromfile(REPO / 'configs/transfer/kinetics400/finetune_vit-b16_16x4.py')
    shrink_clips(cfg, write_videos(tmp_path), write_pretrained(tmp_path), tmp_path / 'work')
    set_epochs(cfg, 50)
    assert not errors(cfg)


def test_recognizer_of_mmaction2(tmp_path):
    cfg = Config.fromfile(write_recognizer(tmp_path))
    cfg.work_dir = str(tmp_path)
    assert not errors(cfg)


def test_settings_that_fail_later_are_found(tmp_path):
    """In the first save, log line, or epoch: mmengine takes them without a word."""
    photos = write_photos(tmp_path / 'photos')
    found = errors(classifier_config(
        tmp_path, photos, **{
            'train_cfg.max_epochs': 3, 'param_scheduler': [dict(type='StepLR', step_size=0)]}))
    assert found == ['param_scheduler: ZeroDivisionError: integer modulo by zero']
    found = errors(classifier_config(tmp_path, photos, **{
        'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, max_keep_ckpt=1),
        'log_processor': dict(type='LogProcessor', window_size='9')}))
    assert ["'max_keep_ckpt'" in found[1], 'window size should be int' in found[0]] == [True] * 2
    error, = errors(classifier_config(
        tmp_path, photos, custom_hooks=[dict(type='vicmae_mm.ClassCountHook')],
        **{'val_evaluator.topk': [0]}))
    assert 'have no top-0 accuracy' in error


def test_labels_over_the_head_are_told_without_the_hook(tmp_path):
    photos = write_photos(tmp_path / 'photos', num_classes=4)
    cfg = classifier_config(tmp_path, photos)
    cfg.launcher = 'none'
    warning, = check_config(cfg).warnings
    assert 'have 4 classes, the head of the model 3' in warning


def test_samples_of_validation_are_read(tmp_path):
    photos = write_photos(tmp_path / 'photos')
    cfg = classifier_config(tmp_path, photos)
    cfg.val_dataloader.dataset.pipeline.insert(1, dict(type='CenterCrop', crop_size='a'))
    error, = errors(cfg)
    assert error.startswith('val_dataloader: ') or 'val_dataloader.dataset' in error


def test_labels_from_one_are_explained_once(tmp_path):
    photos = write_photos(tmp_path / 'photos')
    (photos / 'list.txt').write_text(''.join(
        f'class_{label}/{image}.png {label + 1}\n' for label in range(3) for image in range(2)))
    loader = dict(photo_loader(dict(data_root=str(photos), ann_file='list.txt')), batch_size=4)
    error, = errors(classifier_config(
        tmp_path, photos, train_dataloader=loader, val_dataloader=loader,
        custom_hooks=[dict(type='vicmae_mm.ClassCountHook')],
        **{'model.data_preprocessor.num_classes': 3,  # mixup alone would say that one_hot failed
           'model.train_cfg.augments': dict(type='Mixup', alpha=0.8)}))
    assert 'begin at 1 and should begin at 0' in error


@pytest.mark.parametrize('kind', ['pairs', 'photos', 'clips'])
def test_one_setting_changes_the_size_of_images(kind, data, tmp_path):  # noqa: F811
    if kind == 'pairs':
        cfg = Config.fromfile(REPO / 'configs/quickstart/vicmae.py')
        cfg.train_dataloader.dataset.data_prefix.video = str(write_videos(tmp_path, 32).parent)
        cfg.work_dir = str(tmp_path / 'work')
    elif kind == 'photos':
        cfg = shrink_photos(load('finetune_vit-b16'), data, tmp_path)
    else:
        cfg = Config.fromfile(REPO / 'configs/transfer/kinetics400/finetune_vit-b16_16x4.py')
        shrink_clips(cfg, write_videos(tmp_path), write_pretrained(tmp_path), tmp_path / 'work')
    set_epochs(cfg, 60)
    cfg.launcher, cfg.image_size = 'none', 48
    set_image_size(cfg)
    found = check_config(cfg)
    assert not found.errors and not any('img_size' in line for line in found.warnings)
    assert any('48, 48) ' in line for line in found.notes)
    if kind != 'pairs':  # an encoder of pre-training refuses others
        cfg.model.backbone.img_size = 32
        lines = [line for line in check_config(cfg).warnings if 'img_size' in line]
        assert [line.partition('_')[0] for line in lines] == ['train', 'val', 'test']
