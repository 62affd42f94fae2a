"""tools/check_config.py: its output, and that it accepts configs that train."""
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
from vicmae_mm.commands.preflight import check_config, misspelt_options


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
    status, out, err = tool(config, '--processes', 2, '--cfg-options', 'train_cfg.max_epochs=3',
                            'randomnes.seed=3')
    assert status is None and out.startswith(f'{config}, 2 process(es):\n  data: 4 samples')
    assert out.endswith('This config can be trained.\n')
    assert err == ('warning: --cfg-options randomnes.seed: the config has no such setting; did you '
                   'mean randomness.seed?\n')
    status, out, _ = tool(config, '--cfg-options', 'train_dataloader.batch_size=0',
                          'load_from=none.pth')
    assert [line[:7] for line in status.splitlines()] == ['error: '] * 2
    assert 'can be trained' not in out


def test_misspelt_options():
    cfg = Config(dict(model=dict(backbone=dict(mask_ratio=0.5)), hooks=[dict(a=1)]))
    fine = ['model.backbone.drop_path_rate', 'auto_scale_lr.enable', 'load_from', 'hooks.0.a',
            'model.backbone.mask_ratio']
    assert not misspelt_options(cfg, fine)
    assert 'mean model.backbone.mask_ratio?' in misspelt_options(
        cfg, ['model.backbone.mask_ration'])[0]
    assert len(misspelt_options(cfg, ['nonsense', 'modle.backbone.mask_ratio'])) == 2


def errors(cfg: Config) -> list[str]:
    cfg.launcher = 'none'
    return check_config(cfg).errors


@pytest.mark.parametrize('name', ['finetune_vit-b16', 'linear_vit-b16_lars'])
def test_photos(name, data, tmp_path):  # noqa: F811
    assert not errors(shrink_photos(load(name), data, tmp_path))


def test_clips(tmp_path):
    cfg = Config.fromfile(REPO / 'configs/transfer/kinetics400/finetune_vit-b16_16x4.py')
    assert not errors(shrink_clips(
        cfg, write_videos(tmp_path), write_pretrained(tmp_path), tmp_path / 'work'))


def test_recognizer_of_mmaction2(tmp_path):
    cfg = Config.fromfile(write_recognizer(tmp_path))
    cfg.work_dir = str(tmp_path)
    assert not errors(cfg)


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
