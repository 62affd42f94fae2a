"""Files are read as data and written atomically."""
import argparse
import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint
from safetensors.torch import load_file

from tests.checkpoints.conversion.helpers import assert_same
from tests.helpers.payloads import NAMES, attacks, safe_torch
from vicmae_mm.checkpoints.safety import UnsafeCheckpointError
from vicmae_mm.checkpoints.weight_files import (
    read_weights,
    read_weights_and_extras,
    write_weights,
)

STATE = {'a.weight': torch.arange(6.).view(2, 3), 'a.bias': torch.ones(2).half(),
         'count': torch.tensor(3)}


@pytest.mark.parametrize('suffix', ['pth', 'pt', 'bin', 'ckpt', 'safetensors'])
def test_what_is_written_is_read(suffix, tmp_path):
    path = tmp_path / 'new folder' / f'a.{suffix}'
    write_weights(path, STATE)
    assert_same(read_weights(path), STATE)
    assert_same(read_weights(path), STATE)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (tmp_path / 'other').touch()  # readable for whom the user's umask says
    assert path.stat().st_mode == (tmp_path / 'other').stat().st_mode


def test_views_are_written_alone(tmp_path):
    whole = torch.randn(3, 1000)
    for suffix in ('pth', 'safetensors'):
        views = dict(x=whole.t()[:2].t(), y=whole[0, :2], z=whole[0, 1:3])
        write_weights(tmp_path / f'a.{suffix}', views)
        assert_same(read_weights(tmp_path / f'a.{suffix}'), views)
        assert (tmp_path / f'a.{suffix}').stat().st_size < 4000


def test_transformers_finds_its_format(tmp_path):
    write_weights(tmp_path / 'a.safetensors', STATE)
    from safetensors import safe_open
    with safe_open(tmp_path / 'a.safetensors', 'pt') as file:
        assert file.metadata() == dict(format='pt')


def test_mmengine_loads_safetensors(tmp_path):
    model = torch.nn.Linear(3, 2)
    state = {key: torch.randn_like(value) for key, value in model.state_dict().items()}
    write_weights(tmp_path / 'a.safetensors', state)
    load_checkpoint(model, str(tmp_path / 'a.safetensors'), strict=True)
    assert_same(model.state_dict(), state)


@pytest.mark.parametrize('name', ['state_dict', 'model', 'model_state', 'module', None])
def test_where_a_state_dict_is(name, tmp_path):
    write_weights(tmp_path / 'a.pth', STATE, wrapper=name)
    content = torch.load(tmp_path / 'a.pth')
    assert_same(content if name is None else content[name], STATE)
    assert_same(read_weights(tmp_path / 'a.pth'), STATE)


def test_prefix_of_a_parallel_wrapper_goes(tmp_path):
    torch.save({f'module.{key}': value for key, value in STATE.items()}, tmp_path / 'a.pth')
    assert_same(read_weights(tmp_path / 'a.pth'), STATE)


@pytest.mark.parametrize('prefix', ['_orig_mod.', 'module._orig_mod.', '_orig_mod.module.',
                                    '_fsdp_wrapped_module.'])
def test_what_compiling_adds_to_names_goes(prefix, tmp_path):
    torch.save({prefix + key: value for key, value in STATE.items()}, tmp_path / 'a.pth')
    assert_same(read_weights(tmp_path / 'a.pth'), STATE)


def test_compiled_parts(tmp_path):
    torch.save({'backbone._orig_mod.a': torch.ones(2), 'head.b': torch.ones(1)}, tmp_path / 'a.pth')
    assert list(read_weights(tmp_path / 'a.pth')) == ['backbone.a', 'head.b']
    torch.save({'_orig_mod.a': torch.ones(2), 'a': torch.ones(1)}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='with and without the prefix of a compiled module'):
        read_weights(tmp_path / 'a.pth')


def test_several_state_dicts_keep_their_names(tmp_path):
    torch.save(dict(student=STATE, teacher={'x': torch.ones(1)}, epoch=3,
                    optimizer=dict(state={0: dict(step=torch.ones(1))})), tmp_path / 'a.pth')
    weights, extras = read_weights_and_extras(tmp_path / 'a.pth')
    assert_same(weights, {f'student.{key}': value for key, value in STATE.items()}
                | {'teacher.x': torch.ones(1)})
    assert extras == ['epoch', 'optimizer']


def test_options_of_a_run_are_named_and_not_read(tmp_path):
    options = argparse.Namespace(lr=1e-3, output_dir='x', betas=(0.9, 0.95), resume=None)
    torch.save(dict(model=dict(STATE, version=2), args=options, epoch=3, scaler=dict(scale=1.)),
               tmp_path / 'a.pth')
    weights, extras = read_weights_and_extras(tmp_path / 'a.pth')
    assert_same(weights, STATE)
    assert extras == ['args', 'epoch', 'scaler', 'version']


@safe_torch
@pytest.mark.parametrize('name', NAMES)
def test_options_can_not_hide_code(name, tmp_path):
    evil = argparse.Namespace(lr=attacks(str(tmp_path / 'marker'))[name])
    torch.save(dict(model=STATE, args=evil), tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match='Nothing in it was executed'):
        read_weights(tmp_path / 'a.pth')
    assert not (tmp_path / 'marker').exists()


def test_pickle_named_safetensors_is_not_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'marker'), )

    (tmp_path / 'a.safetensors').write_bytes(pickle.dumps(Evil()))
    message = r'a\.safetensors is not a safetensors file, or is damaged'
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / 'a.safetensors')
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
def test_cut_safetensors_is_named(share, tmp_path):
    write_weights(tmp_path / 'a.safetensors', STATE)
    content = (tmp_path / 'a.safetensors').read_bytes()
    (tmp_path / 'cut.safetensors').write_bytes(content[:int(len(content) * share)])
    with pytest.raises(ValueError, match=r'cut\.safetensors is not a safetensors file'):
        read_weights(tmp_path / 'cut.safetensors')


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_weights(path, STATE)

    def fail(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='No space left'):
        write_weights(path, {})
    monkeypatch.undo()
    assert_same(read_weights(path), STATE)
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']


def test_a_folder_in_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr('secrets.token_hex', lambda size: '0' * 2 * size)
    (tmp_path / f'a.pth.{"0" * 16}.part').mkdir()  # torch itself raises a RuntimeError over it
    with pytest.raises(OSError, match='Is a directory'):
        write_weights(tmp_path / 'a.pth', STATE)


@pytest.mark.parametrize('name', ['a.npz', 'a', 'a.pth.tar'])
def test_suffix_says_the_format(name, tmp_path):
    with pytest.raises(ValueError, match=f'{name} has none of the suffixes .pth'):
        write_weights(tmp_path / name, STATE)


def test_missing_file(tmp_path):
    for name in ('none.pth', 'none.safetensors'):
        with pytest.raises(FileNotFoundError, match='There is no checkpoint'):
            read_weights(tmp_path / name)


def test_file_is_plain_safetensors(tmp_path):
    write_weights(tmp_path / 'a.safetensors', STATE)
    assert_same(load_file(tmp_path / 'a.safetensors'), STATE)


def test_a_url_is_not_downloaded(monkeypatch):
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', lambda *_, **__: pytest.fail('read'))
    for url in ('https://example.invalid/a.pth', Path('https://example.invalid/a.pth')):
        with pytest.raises(ValueError, match='is a URL: download it, and pass the local file'):
            read_weights(url)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    for name in ('a.safetensors', 'a.pth'):
        write_weights(tmp_path / name, STATE)
        assert_same(read_weights(f'~/{name}'), STATE)
