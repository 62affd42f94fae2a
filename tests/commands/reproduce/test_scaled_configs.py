"""The scales change size and length of the tables' configs, and nothing that tells rows apart."""
from itertools import chain

import pytest
from mmengine.config import Config

from tests.conftest import REPO
from vicmae_mm.commands.reproduce.scaled_configs import scaled_config
from vicmae_mm.commands.reproduce.tables import EVALUATIONS, TABLES
from vicmae_mm.registry import MODELS

CONFIGS = REPO / 'configs'
ROWS = sorted({row.config for row in chain(*(table.rows for table in TABLES.values()))})
DEFAULT = 'vicmae_vit-b16_k400'


def scale(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'_base_/scales/{name}.py')


def changes(old: Config, new: Config, *keys: str) -> set[str]:
    """Dotted names at which two configs differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return set().union(*(changes(old.get(key), new.get(key), *keys, key)
                             for key in {*old, *new}))
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return set().union(*(changes(*pair, *keys, str(number))
                             for number, pair in enumerate(zip(old, new, strict=True))))
    return set() if old == new else {'.'.join(keys)}


@pytest.mark.parametrize('row', ROWS)
def test_toy_rows_build_and_differ_as_the_full_rows_do(row):
    cfg = scaled_config(CONFIGS / f'{row}.py', scale('toy'), 'pretraining', 3)
    assert cfg.randomness.seed == 3 and cfg.train_cfg.max_epochs == 30
    # a twentieth of the run for warm-up, in complete epochs
    assert cfg.param_scheduler[0].end == 2 and cfg.param_scheduler[1].end == 30
    assert '224' not in str(cfg.train_dataloader) and MODELS.build(cfg.model)
    default = scaled_config(CONFIGS / f'{DEFAULT}.py', scale('toy'), 'pretraining', 3)
    full, full_default = (Config.fromfile(CONFIGS / f'{name}.py') for name in (row, DEFAULT))
    for part in ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert changes(default[part], cfg[part]) == changes(full_default[part], full[part])


@pytest.mark.parametrize(('name', 'part'), [
    (DEFAULT, 'pretraining'), (f'transfer/imagenet/{EVALUATIONS["linear"]}', 'transfer')])
def test_full_changes_nothing_but_the_seed(name, part):
    path = CONFIGS / f'{name}.py'
    cfg = scaled_config(path, scale('full'), part, 1)
    assert changes(Config.fromfile(path)._cfg_dict.to_dict(), cfg._cfg_dict.to_dict()) == {
        'randomness.seed'}


@pytest.mark.parametrize(('name', 'evaluation'), [
    ('toy', 'finetune_010'), ('small', 'finetune_010'), ('small', 'linear')])
def test_evaluations_build_with_the_network_of_the_scale(name, evaluation):
    pretraining = scaled_config(CONFIGS / f'{DEFAULT}.py', scale(name), 'pretraining', 0)
    transfer = scaled_config(
        CONFIGS / f'transfer/imagenet/{EVALUATIONS[evaluation]}.py', scale(name), 'transfer', 0)
    for key in ('img_size', 'patch_size', 'arch'):
        assert transfer.model.backbone[key] == pretraining.model.backbone[key]
    transfer.model.backbone.init_cfg = None
    assert MODELS.build(transfer.model) and MODELS.build(pretraining.model)
