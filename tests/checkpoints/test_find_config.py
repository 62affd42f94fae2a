"""Finding the config of a work dir, and running nothing that is not one."""
from pathlib import Path

import pytest
from mmengine.config import Config

from vicmae_mm.apis import find_config

CONFIG = "model = dict(type='vicmae_mm.ViCMAE', size=[1, 2])\nwork_dir = 'x'\n"


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    (tmp_path / 'run').mkdir()
    return tmp_path / 'run' / 'epoch_1.pth'


def test_next_to_the_checkpoint_before_one_above(tmp_path, checkpoint):
    above, next_to = tmp_path / 'above.py', checkpoint.parent / 'next_to.py'
    above.write_text(CONFIG)
    assert find_config(checkpoint) == above
    next_to.write_text(CONFIG)
    assert find_config(checkpoint) == next_to


def test_every_config_of_this_package_is_recognised_once_dumped(repo, checkpoint):
    configs = [path for path in (repo / 'configs').rglob('*.py') if '_base_' not in path.parts]
    assert configs
    for path in configs:
        dumped = checkpoint.parent / path.name
        Config.fromfile(path).dump(dumped)
        assert find_config(checkpoint) == dumped
        dumped.unlink()


@pytest.mark.parametrize('text', [
    'import os\nmodel = dict()',
    "model = dict(type=__import__('os').getcwd())",
    'def model(): pass',
    "work_dir = 'no model'",
    'model = dict(',
    'print("hello")\nmodel = 1',
])
def test_other_python_files_are_passed_over(checkpoint, text):
    (checkpoint.parent / 'script.py').write_text(text)
    with pytest.raises(FileNotFoundError, match='--config'):
        find_config(checkpoint)


def test_several_configs_are_not_guessed_between(checkpoint):
    for name in ('b.py', 'a.py'):
        (checkpoint.parent / name).write_text(CONFIG)
    with pytest.raises(ValueError, match=r'several configs \(a\.py, b\.py\)'):
        find_config(checkpoint)


def test_relative_path(checkpoint, monkeypatch):
    (checkpoint.parent / 'run.py').write_text(CONFIG)
    monkeypatch.chdir(checkpoint.parent)
    assert find_config('epoch_1.pth').name == 'run.py'
