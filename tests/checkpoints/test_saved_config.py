"""The config text of a checkpoint is data."""
import pytest
from mmengine.config import Config

from tests.conftest import REPO
from vicmae_mm.checkpoints.saved_config import changed_settings, read_config_text


@pytest.mark.parametrize('name', ['vicmae_vit-b16_k400', 'transfer/imagenet/finetune_vit-b16'])
def test_a_saved_config_is_read_as_it_was(name):
    cfg = Config.fromfile(REPO / f'configs/{name}.py')
    got = read_config_text(cfg.pretty_text)
    assert got == as_data(cfg.to_dict()) and got['train_dataloader']['batch_size'] > 1


def as_data(node):
    if isinstance(node, float | int) and node < 0:
        return str(node)
    if isinstance(node, dict):
        return {key: as_data(value) for key, value in node.items()}
    return [as_data(item) for item in node] if isinstance(node, list | tuple) else node


@pytest.mark.parametrize('text, want', [
    ('a = dict(b=(1, -2.5), c=None)', dict(a=dict(b=[1, '-2.5'], c=None))),
    ("a = {'b.c': dict(d=1)}", dict(a={'b.c': dict(d=1)})),
    ("a = dict(b=1, **{'c.d': [2]})", dict(a={'b': 1, 'c.d': [2]})),
    ('a = open("x")\nb = 1', dict(a="open('x')", b=1)),
    ('a = dict(open("x"), b=1)', dict(a={'': "open('x')", 'b': 1})),
    ('a = dict({".b": dict(c=1)}, d=2)', dict(a={'.b': dict(c=1), 'd': 2})),
    ('import os\nos.abort()\na = 1', dict(a=1)),
    ('a = (', {}), ('', {}), ('\0', {}), ('a = ' + '(' * 500, {}), ('a = ' + '-' * 100_000, {}),
    ('a = ' + 'dict(b=' * 60 + '1' + ')' * 60 + ' ' * 3_000_000, {}), (None, {}), (7, {}),
    (b'a = 1', {})])
def test_anything_is_read_and_nothing_executed(text, want):
    assert read_config_text(text) == want


def test_differences():
    before = dict(a=dict(b=1, c=[dict(d=1), dict(d=2)]), e=[1, 2], f=[dict(g=1)], h=1)
    after = dict(a=dict(b=2, c=[dict(d=1), dict(d=3)]), e=[1, 3], f=[], i=None, h=1, j=4)
    assert list(changed_settings(before, after)) == [
        ('a.b', 1, 2), ('a.c.1.d', 2, 3), ('e', [1, 2], [1, 3]), ('f', [dict(g=1)], []),
        ('j', None, 4)]
    assert not list(changed_settings(before, before))
