"""Every upstream fault occurs without compat, for the reason named, and not with it."""
import importlib.metadata
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.utils import get_installed_path, is_installed
from packaging.version import Version

from tests.conftest import REPO
from tests.helpers.upstream_faults import FAULTS
from vicmae_mm import compat
from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY
from vicmae_mm.compat import runtime_patches

NUMPY_2 = int(np.__version__.split('.')[0]) >= 2

# What the stock libraries raise.
STOCK = dict(
    torchvision_without_ops='torchvision::nms',
    multimodal_models='written for an older transformers',
    mmaction_drn='localizers.drn',
    our_models='does not support to load vicmae_mm config',
    our_configs='please specify the package name and relative config path',
    scope_in_collate="unexpected keyword argument '_scope_'",
    hooks_switched_off='AssertionError',
    batch_of_scale_lr="{'lr': [0.125]}",
    checkpoints_hold_getattr='HistoryBuffer was not an allowed global',
    url_unpickles_anything='the file was executed',
    resume_runs_config_text='the config text was executed',
    inferencer_runs_config_text='the config text was executed',
    inferencer_scope='Scale must be float or tuple of int',
    activation_checkpointing='no gradient',
    processes_on_cpu='NVIDIA driver',
    ddp_on_cpu='device_ids',
    negative_hue_mmcv='out of bounds for uint8',
    negative_hue_mmaction='out of bounds for uint8',
    package_paths='pkg_resources',
)
# Faults of newer versions: their functions show nothing before.
if Version(importlib.metadata.version('torchvision')) < Version('0.17'):
    del STOCK['torchvision_without_ops']
if not CAN_LOAD_SAFELY:
    for fault in ('checkpoints_hold_getattr', 'url_unpickles_anything'):
        del STOCK[fault]
if not NUMPY_2:
    for fault in ('negative_hue_mmcv', 'negative_hue_mmaction'):
        del STOCK[fault]


@pytest.fixture(scope='module')
def raised(tmp_path_factory):
    """What each fault raised, in processes without and with compat."""
    alone = ['torchvision_without_ops']  # breaks every later import of torchvision
    together = [name for name in STOCK if name not in alone]
    runs = []
    for mode, names in (('stock', [name for name in alone if name in STOCK]), ('stock', together),
                        ('patched', list(STOCK))):
        command = [sys.executable, '-m', 'tests.helpers.upstream_faults',
                   str(tmp_path_factory.mktemp(mode)), mode, *names]
        runs.append((mode, subprocess.Popen(
            command, cwd=REPO, env=dict(os.environ, CUDA_VISIBLE_DEVICES=''),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)))
    results: dict[str, dict[str, str | None]] = dict(stock={}, patched={})
    for mode, process in runs:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        results[mode].update(json.loads(out.splitlines()[-1]))
    return results


def test_every_fault_is_tried():
    if CAN_LOAD_SAFELY and NUMPY_2:  # torch 2.6 comes after torchvision 0.17
        assert set(STOCK) == set(FAULTS)


@pytest.mark.parametrize('fault', STOCK)
def test_fault_is_patched(fault, raised):
    assert STOCK[fault] in (raised['stock'][fault] or 'nothing')
    assert raised['patched'][fault] is None


def test_apply_twice_changes_nothing():
    from mmengine.runner.checkpoint import CheckpointLoader
    loader, finders = CheckpointLoader.load_checkpoint.__func__, list(sys.meta_path)
    compat.apply()
    assert sys.meta_path == finders
    assert CheckpointLoader.load_checkpoint.__func__ is loader


def test_import_stays_light():
    heavy = ['torch', 'numpy', 'mmcv', 'mmaction', 'mmpretrain', 'mmengine.runner', 'torchvision',
             'cv2', 'av']
    code = (f'import sys, vicmae_mm; print([m for m in {heavy} if m in sys.modules])')
    out = subprocess.run(
        [sys.executable, '-c', code], cwd=REPO, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == '[]'


@pytest.mark.parametrize('hue', [-0.5, -0.3, -0.01, 0., 0.2, 0.5])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_hue_turns_the_colour_circle_as_numpy_1_did(hue, backend):
    import mmcv
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 3), np.uint8)
    turned = mmcv.adjust_hue(image, hue, backend)
    # A negative turn is the positive one the rest of the circle: 256 steps.
    steps = int(hue * 255)
    import cv2
    if backend == 'cv2':
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL).astype(int)
        hsv[..., 0] = (hsv[..., 0] + steps) % 256
        want = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR_FULL)
    else:
        from PIL import Image
        hsv = np.array(Image.fromarray(image[..., ::-1].copy()).convert('HSV')).astype(int)
        hsv[..., 0] = (hsv[..., 0] + steps) % 256
        want = np.array(Image.fromarray(hsv.astype(np.uint8), 'HSV').convert('RGB'))[..., ::-1]
    np.testing.assert_array_equal(turned, want)


def test_hue_out_of_range_is_still_refused():
    import mmcv
    with pytest.raises(ValueError, match=r'-0\.6'):
        mmcv.adjust_hue(np.zeros((2, 2, 3), np.uint8), -0.6)


def test_mmaction_hue_wraps_at_180():
    from mmaction.datasets.transforms import ColorJitter
    blue = np.zeros((1, 1, 3), np.uint8)
    blue[..., 2] = 255  # hue 120 of 180
    assert ColorJitter.adjust_hue(blue, 0.5).tolist() == [[[0, 255, 60]]]  # 120 + 127 = 67
    for factor in (-0.4, 0.3):
        there = ColorJitter.adjust_hue(blue, factor)
        np.testing.assert_allclose(ColorJitter.adjust_hue(there, -factor), blue, atol=6)


def test_installed_paths():
    import mmaction
    import mmcv
    assert is_installed('mmaction2') and is_installed('vicmae_mm')
    assert not is_installed('no_such_package')
    assert get_installed_path('mmaction2') == os.path.dirname(mmaction.__file__)
    assert get_installed_path('mmcv') == os.path.dirname(mmcv.__file__)
    assert get_installed_path('vicmae_mm') == str(REPO / 'vicmae_mm')
    with pytest.raises(ModuleNotFoundError, match='no_such_package'):
        get_installed_path('no_such_package')
    with pytest.raises(importlib.metadata.PackageNotFoundError, match=r'for no_such_package$'):
        get_installed_path('no_such_package')


def test_a_bare_folder_is_not_a_package(tmp_path, monkeypatch):
    (tmp_path / 'bare_folder').mkdir()
    (tmp_path / 'plain_module.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed('bare_folder') and is_installed('plain_module')
    with pytest.raises(RuntimeError, match='bare_folder is a namespace package'):
        get_installed_path('bare_folder')
    assert get_installed_path('plain_module') == str(tmp_path)


@pytest.mark.parametrize('name, spec', [
    ('mmengine', None), ('mmcv', None), ('mmcv', SimpleNamespace(origin=None))])
def test_missing_files_are_named_with_what_to_uninstall_first(name, spec, monkeypatch):
    # as after `pip uninstall onedl-mmengine` where mmengine was installed as well
    monkeypatch.setattr(compat, 'packages_distributions', lambda: {name: [name, name]})
    monkeypatch.setattr(compat, 'find_spec', lambda name: spec)
    with pytest.raises(ImportError, match='its files are not there: ') as caught:
        compat.apply() if name == 'mmengine' else compat._require_mmcv(None)
    assert f': pip uninstall {name}, then pip install \'{name}' in str(caught.value)


@pytest.mark.parametrize('name, version, is_supported', [
    ('mmcv', '1.7.2', False), ('mmcv', '2.0.0rc4', False), ('mmcv', '2.0.1', True),
    ('mmcv', '2.1.0', True), ('mmcv', '2.2.0', False), ('mmcv', '2.10.1', False),
    ('mmengine', '0.10.4', False), ('mmengine', '0.10.12', True), ('mmengine', '1.0.0', False)])
def test_the_imported_files_decide_which_version_it_is(name, version, is_supported, monkeypatch):
    owners = {'mmcv': ['onedl-mmcv', 'mmcv-lite'], 'mmengine': []}
    monkeypatch.setattr(compat, 'packages_distributions', lambda: owners)
    module = SimpleNamespace(__name__=name, __version__=version)
    if is_supported:
        compat._check_version(module)
        return
    with pytest.raises(ImportError, match=f'^{name} {version} is installed') as caught:
        compat._check_version(module)
    advice = dict(mmengine=": pip install 'mmengine>=0.10.5,<1'",
                  mmcv='pip uninstall mmcv-lite onedl-mmcv, then '
                       "pip install 'mmcv-lite>=2.0.1,<2.2'")
    assert str(caught.value).endswith(advice[name])


def test_the_loader_of_onedl_mmengine_gets_no_list_of_its_own():
    module = SimpleNamespace(
        CheckpointLoader=type('Loader', (), dict(load_checkpoint=classmethod(len))),
        _safe_torch_load=None, torch=torch)
    runtime_patches._checkpoint_loader(module)
    assert module._safe_torch_load is torch.load


def test_drn_stand_in_says_what_to_do():
    from mmaction.models.localizers import DRN
    with pytest.raises(ImportError, match='from source'):
        DRN()


def test_ddp_on_cpu_leaves_other_devices_alone(monkeypatch):
    from mmengine.model import MMDistributedDataParallel
    seen = {}
    monkeypatch.setattr(
        torch.nn.parallel.DistributedDataParallel, '__init__',
        lambda self, module, **kwargs: seen.update(kwargs) or torch.nn.Module.__init__(self))
    MMDistributedDataParallel(torch.nn.Linear(1, 1, device='meta'), device_ids=[0])
    assert seen == dict(device_ids=[0])
    MMDistributedDataParallel(torch.nn.Linear(1, 1), device_ids=[0], find_unused_parameters=True)
    assert seen == dict(device_ids=None, find_unused_parameters=True)


def test_a_log_names_files_whatever_their_names(tmp_path):
    logger = MMLogger('names', log_file=str(tmp_path / 'run.log'))
    logger.warning('caf\udce9.mp4 is bad')
    assert 'caf\\udce9.mp4 is bad' in (tmp_path / 'run.log').read_text()
