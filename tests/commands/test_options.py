"""What a text given by --cfg-options means, by the value that the config has."""
import argparse
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from vicmae_mm.commands.options import (
    add_run_options,
    between,
    merge_options,
    merge_settings,
    open_config,
    parse_setting,
    positive_number,
)


@pytest.mark.parametrize('path', [
    'a,b', '2024', '2024_01', '007', '1e5', '(copy) x', '[x,y', '[2] done', 'a]b', 'nan', 'x=y',
    ' ', '"quoted" folder', "it's", '(a', 'a b,c d'])
def test_a_setting_that_is_a_text_stays_one(path):
    assert parse_setting(path, 'videos') == path
    for key in ('work_dir', 'load_from', 'dataset.ann_file', 'init_cfg.checkpoint'):
        assert parse_setting(path, None, key) == path


@pytest.mark.parametrize('path', ['[1, 2]', '(1)', '[old]', 'None', 'True', '3', 'a,b', ''])
@pytest.mark.parametrize('quote', ['"', "'"])
@pytest.mark.parametrize('present', ['videos', None])
def test_quotes_of_its_own_make_a_text(path, quote, present):
    assert parse_setting(f'{quote}{path}{quote}', present) == path


@pytest.mark.parametrize('text, present, value', [
    ('1,2', [3], [1, 2]), ('a,b', ['c'], ['a', 'b']), ('[1,2]', None, [1, 2]),
    ('(1, 2)', (3, 4), (1, 2)), ('[(1,2),[a,b],c]', None, [(1, 2), ['a', 'b'], 'c']),
    ('"[1]"', [2], [1]), ("['a b', 'c,d']", None, ['a b', 'c,d']), ('[a.txt]', 'b.txt', ['a.txt']),
    ('3', 1, 3), ('"3"', 1, 3), ('1e-3', 0.1, 1e-3), ('.5', None, 0.5), ('-1', None, -1),
    ('false', True, False), ('None', 'a', None), ('None', dict(a=1), None), ('True', 'auto', True),
    ('a b', None, 'a b'), ('[a', None, '[a'), ('dict(a=[1, 2])', None, 'dict(a=[1, 2])'),
    ('2024_01', None, '2024_01'), ('007', 1, '007')])
def test_other_values_are_numbers_and_lists(text, present, value):
    parsed = parse_setting(text, present)
    assert parsed == value and type(parsed) is type(value)


def test_the_value_of_the_config_decides():
    cfg = Config(dict(loader=dict(datasets=[dict(prefix='a', size=(1, 2))]), name='x'))
    merge_settings(cfg, {'loader.datasets.0.prefix': 'a,b', 'loader.datasets.0.size': '3,4',
                         'loader.new': '3,4', 'typed': 5})
    assert cfg.loader == dict(datasets=[dict(prefix='a,b', size=[3, 4])], new=[3, 4])
    assert cfg.typed == 5


@pytest.mark.parametrize('key', ['loader.9.size', 'name.first', 'loader.x'])
def test_a_setting_without_a_place_is_refused(key):
    cfg = Config(dict(loader=[dict(size=1)], name='x'))
    with pytest.raises(ValueError, match=f'^--cfg-options {key}: the config has no place for'):
        merge_settings(cfg, {key: '1'})


@pytest.mark.parametrize('words, work_dir', [
    (['--cfg-options', 'work_dir=2024'], '2024'), (['--work-dir', '7'], '7'),
    (['--cfg-options', 'work_dir=None'], 'work_dirs/a'), ([], 'work_dirs/a')])
def test_the_work_dir_is_a_path(words, work_dir):
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    args = SimpleNamespace(**vars(parser.parse_args(words)), config='configs/a.py')
    cfg = Config()
    merge_options(cfg, args, [])
    assert cfg.work_dir == work_dir


@pytest.mark.parametrize('name, text, words', [
    ('a.py', 'x = 1\n1 / 0', 'line 2: ZeroDivisionError: division by zero'),
    ('a.py', 'x = y', "line 1: NameError: name 'y' is not defined"),
    ('a.py', "_base_ = 'a.py'", 'its _base_ leads back to itself'),
    ('a.py', '_base_ = 3', 'AttributeError'), ('a.json', '{', 'JSONDecodeError: Expecting'),
    ('a.yaml', 'a: [', 'ParserError'), ('a.yaml', '- 1', 'AttributeError'),
    ('a.py', b'\xff\xfe', 'UnicodeDecodeError')])
def test_what_a_config_raises_is_one_line(name, text, words, tmp_path):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f'{name} cannot be read: ') as caught:
        open_config(str(tmp_path / name))
    assert words in str(caught.value) and '\n' not in str(caught.value)


def test_what_is_no_config_is_told_by_its_name(tmp_path):
    (tmp_path / 'weights.pth').touch()
    (tmp_path / 'a.py').mkdir()
    for name in ('weights.pth', 'a.py'):
        with pytest.raises(ValueError, match=f'{name} is not a config, whose name ends with'):
            open_config(str(tmp_path / name))


def test_a_syntax_error_names_the_config(tmp_path):
    (tmp_path / 'a.py').write_text('x = (')
    with pytest.raises(SyntaxError) as caught:
        open_config(str(tmp_path / 'a.py'))
    assert str(tmp_path / 'a.py') in caught.value.filename


@pytest.mark.parametrize('name', ['train_dataloader', 'auto_scale_lr', 'default_hooks'])
def test_a_group_of_settings_is_a_dict(name):
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    args = SimpleNamespace(**vars(parser.parse_args(['--cfg-options', f'{name}=3'])), config='a.py')
    with pytest.raises(ValueError, match=f'{name}=3 must be a dict'):
        merge_options(Config({name: dict(a=1)}), args, [])


def options(*words: str) -> dict:
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    cfg = Config()
    merge_settings(cfg, parser.parse_args(['--cfg-options', *words]).cfg_options)
    return cfg.to_dict()


def test_paths_in_options_keep_their_spaces():
    assert options('video=/data/my $HOME videos', "list='/a b/c.txt'") == {
        'video': '/data/my $HOME videos', 'list': '/a b/c.txt'}


def test_other_values_are_parsed_by_mmengine():
    assert options('n=3', 'x=1e-3', 'on=true', 'none=None', 'l=[1, 2]', 'm=a,b', 'empty=') == dict(
        n=3, x=1e-3, on=True, none=None, l=[1, 2], m=['a', 'b'], empty='')


def test_an_option_without_a_value_is_refused(capsys):
    with pytest.raises(SystemExit):
        options('train_cfg.max_epochs')
    assert "takes KEY=VALUE, not 'train_cfg.max_epochs'" in capsys.readouterr().err


@pytest.mark.parametrize('kind, good, bad', [
    (positive_number, '1e-7 2 inf', '0 -1 nan x'), (between(int, 1, 100), '1 100', '0 101 1.5 x'),
    (between(float, .1, 10), '0.1 1e1', '0.09 11 nan inf x')])
def test_numbers_out_of_range_are_refused(kind, good, bad):
    assert [kind(text) for text in good.split()] == [float(text) for text in good.split()]
    for text in bad.split():
        with pytest.raises(argparse.ArgumentTypeError, match=f'must be .*, not {text!r}'):
            kind(text)
