"""``~`` is the home folder."""
from pathlib import Path

import pytest
from mmengine.config import Config

from vicmae_mm.utils.home_folder import expand_arguments, expand_home


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')


@pytest.mark.parametrize('before, after', [
    ('~/a b', '/home/me/a b'), ('~', '/home/me'), ('a~/b', 'a~/b'),
    ('--out=~/x', '--out=/home/me/x'), ('a.b[0].video=~/x', 'a.b[0].video=/home/me/x'),
    ('KEY="~/x"', 'KEY="/home/me/x"'), ('mine=~', 'mine=/home/me'), ('x=1', 'x=1'),
    ('x=[~/a]', 'x=[~/a]')])
def test_arguments(before, after):
    assert expand_arguments([before]) == [after]


def test_everything_in_a_config():
    cfg = Config(dict(load_from='~/a.pth', model=dict(init_cfg=[dict(checkpoint='~/b.pth')]),
                      data=dict(prefix=dict(video='~/v'), sizes=(1, '~/c')), n=3, name='a=~b'))
    expand_home(cfg._cfg_dict)
    assert cfg.load_from == '/home/me/a.pth'
    assert cfg.model.init_cfg[0].checkpoint == '/home/me/b.pth'
    assert cfg.data.prefix.video == '/home/me/v' and cfg.data.sizes == (1, '/home/me/c')
    assert cfg.n == 3 and cfg.name == 'a=~b'


def test_paths_and_other_values():
    assert expand_home(Path('~/a')) == Path('/home/me/a')
    assert expand_home(None) is None and expand_home(1.5) == 1.5
