"""``_base_ = 'vicmae_mm::...'`` is the shipped config, from an installation and from a clone."""
import os
from itertools import groupby

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from tests.conftest import REPO
from tests.helpers.tiny_configs import write_mae
from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.utils import carried_files

SHIPPED = sorted(path.relative_to(REPO / 'configs') for path in (REPO / 'configs').rglob('*.py')
                 if '_base_' not in path.parts)
ONE_PER_FOLDER = [next(names) for _, names in groupby(SHIPPED, lambda name: name.parent)]
CHOSEN = SHIPPED if os.environ.get('VICMAE_ALL_CONFIGS') == '1' else ONE_PER_FOLDER


@pytest.mark.parametrize('name', CHOSEN, ids=str)
def test_it_is_the_config_itself(name, tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = 'vicmae_mm::{name}'\n")
    mine = Config.fromfile(tmp_path / 'mine.py')
    assert mine._cfg_dict == Config.fromfile(REPO / 'configs' / name)._cfg_dict


def test_settings_merge_and_variables_of_the_base_can_be_used(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = ['vicmae_mm::transfer/imagenet/finetune_vit-b16.py']\n"
        "model = dict(head=dict(num_classes=3))\n"
        "train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline[:1]))\n")
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.model.head.num_classes == 3 and 'type' in cfg.model.head
    step, = cfg.train_dataloader.dataset.pipeline
    assert step.type == 'LoadImageFromFile'


def test_from_a_clone_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / 'configs').mkdir()
    write_mae(tmp_path).rename(tmp_path / 'configs/mae.py')
    monkeypatch.setattr(carried_files, '__file__', str(tmp_path / 'vicmae_mm/utils/a.py'))
    (tmp_path / 'mine.py').write_text("_base_ = 'vicmae_mm::mae.py'\n")
    assert Config.fromfile(tmp_path / 'mine.py').model.type == 'MAE'


def test_the_hub_loads_configs_of_the_top_level():
    assert get_config('vicmae_mm::vicmae_vit-b16_k400.py').model.type == 'vicmae_mm.ViCMAE'


def test_a_config_that_is_not_there_is_named(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'vicmae_mm::ablations/none.py'\n")
    with pytest.raises(FileNotFoundError) as caught:
        Config.fromfile(tmp_path / 'mine.py')
    assert user_message(caught.value).startswith(
        'vicmae_mm::ablations/none.py: there is no such config in ')
