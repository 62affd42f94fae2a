"""Features on disk: when they are computed again, and damaged files."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.models import IMG_SIZE, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from tests.helpers.transfer_datasets import make_class_folders, save
from vicmae_mm.commands.transfer import cached_features
from vicmae_mm.commands.transfer.cached_features import FeatureCache, checkpoint_key
from vicmae_mm.evaluation.labelled_sources import open_labelled
from vicmae_mm.models import Encoder


@pytest.fixture
def images(tmp_path):
    return open_labelled('mine', make_class_folders(tmp_path / 'mine'), IMG_SIZE).train


@pytest.fixture
def encoder():
    return Encoder.of(tiny_vicmae(data_preprocessor=PREPROCESSOR))


@pytest.fixture
def open_cache(tmp_path, encoder):
    def call(key='k', level='cls'):
        return FeatureCache(tmp_path / 'cache', encoder, key, level)

    return call


def test_key_is_of_checkpoint_and_config_with_its_bases(tmp_path):
    checkpoint, base, config = (tmp_path / name for name in ('run/a.pth', 'b/base.py', 'b/c.py'))
    checkpoint.parent.mkdir()
    base.parent.mkdir()
    checkpoint.write_bytes(b'weights')
    base.write_text('model = dict(a=1)')
    config.write_text("_base_ = 'base.py'")
    keys = [checkpoint_key(checkpoint), checkpoint_key(checkpoint, config)]
    base.write_text('model = dict(a=2)')
    keys.append(checkpoint_key(checkpoint, config))
    shutil.copy(base, tmp_path / 'run/dumped.py')
    keys.append(checkpoint_key(checkpoint))
    checkpoint.write_bytes(b'others.')
    keys.append(checkpoint_key(checkpoint))
    # the same model, as one file or with a base, has the same key
    assert len(set(keys)) == 4 and keys[2] == keys[3]
    assert checkpoint_key(checkpoint) == keys[-1]


def test_file_is_of_checkpoint_level_size_and_images(images, encoder, open_cache):
    paths = {open_cache(*settings).path('a', images)
             for settings in (('k', 'cls'), ('other', 'cls'), ('k', 'avg'))}
    encoder.image_size = 8
    paths.add(open_cache().path('a', images))
    path = Path(images.records[0]['img_path'])
    status = os.stat(path)
    save(path, 0, 99)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    paths.add(open_cache().path('a', images))
    assert len(paths) == 5


@pytest.mark.parametrize('damage', [
    lambda path: path.write_bytes(path.read_bytes()[:-40]),
    lambda path: path.write_bytes(b''),
    lambda path: np.savez(path, features=np.zeros((1, 3))),
    lambda path: np.savez(path, features=np.array([dict()] * 8, dtype=object)),
], ids=['cut', 'empty', 'too few', 'objects'])
def test_damaged_file_is_made_again(images, open_cache, damage):
    cache = open_cache()
    features = cache.get(cache.path('a', images), images).features
    damage(cache.path('a', images))
    assert torch.equal(cache.get(cache.path('a', images), images).features, features)


def test_interrupted_write_leaves_nothing(images, open_cache, monkeypatch, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cached_features.np, 'savez', stop)
    with pytest.raises(KeyboardInterrupt):
        open_cache().get(open_cache().path('a', images), images)
    assert not list((tmp_path / 'cache').iterdir())
