"""Wheel, sdist and editable install carry the package, its configs and its tools."""
import email
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.conftest import REPO

pytestmark = pytest.mark.skipif(
    Version(setuptools.__version__) < Version('70.1') and find_spec('wheel') is None,
    reason='setuptools before 70.1 builds wheels only with the package wheel')

BUILD = ('import sys; from setuptools import build_meta; '
         'getattr(build_meta, sys.argv[1])(sys.argv[2])')


def build(checkout: Path, kind: str, folder: Path) -> Path:
    """Call the function by which pip builds ``kind``; returns what it made."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, '-c', BUILD, f'build_{kind}', str(folder)], cwd=checkout,
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(folder.iterdir())


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """A copy of the checkout, in a folder with a space."""
    copy = tmp_path_factory.mktemp('check out') / 'vicmae'
    keep = ('vicmae_mm', 'benchmarks', 'configs', 'docs', 'tools', 'requirements', 'setup.py',
            'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in', 'model-index.yml')
    for name in keep:
        copier = shutil.copytree if (REPO / name).is_dir() else shutil.copy
        (copy / name).parent.mkdir(exist_ok=True)
        copier(REPO / name, copy / name)
    shutil.rmtree(copy / 'vicmae_mm/.mim', ignore_errors=True)
    return copy


@pytest.fixture(scope='module')
def wheel(checkout, tmp_path_factory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(checkout, 'wheel', tmp_path_factory.mktemp('wheel')))


@pytest.fixture(scope='module')
def metadata(wheel) -> email.message.Message:
    name = next(n for n in wheel.namelist() if n.endswith('.dist-info/METADATA'))
    return email.message_from_bytes(wheel.read(name))


def carried() -> set[str]:
    """Files that have to be in the package, by their names in a wheel."""
    folders = ('benchmarks', 'configs', 'docs', 'tools')
    files = {f'vicmae_mm/.mim/{path.relative_to(REPO)}' for folder in folders
             for path in (REPO / folder).rglob('*') if path.suffix in ('.py', '.sh', '.md')}
    modules = {str(path.relative_to(REPO)) for path in (REPO / 'vicmae_mm').rglob('*.py')
               if '.mim' not in path.parts}
    return files | modules | {'vicmae_mm/.mim/model-index.yml'}


def test_wheel(wheel):
    names = set(wheel.namelist())
    assert len(carried()) > 50
    assert carried() <= names
    assert not [n for n in names if '__pycache__' in n or n.startswith('tests/')]
    assert any(n.endswith('LICENSE') for n in names)


def test_sdist_builds_the_same_wheel(checkout, wheel, tmp_path):
    shutil.unpack_archive(build(checkout, 'sdist', tmp_path / 'sdist'), tmp_path / 'unpacked')
    source = next((tmp_path / 'unpacked').iterdir())
    again = zipfile.ZipFile(build(source, 'wheel', tmp_path / 'wheel'))
    assert set(again.namelist()) == set(wheel.namelist())


def test_installed_wheel_serves_configs_and_tools(wheel, tmp_path):
    wheel.extractall(tmp_path / 'site')
    check_installed(tmp_path / 'site', tmp_path)


def test_editable_install_serves_configs_and_tools(checkout, tmp_path):
    for _ in range(2):  # installing again finds the links of the last time
        build(checkout, 'editable', tmp_path / 'wheel')
    mim = checkout / 'vicmae_mm/.mim'
    assert (mim / 'configs').resolve() == (checkout / 'configs').resolve()
    check_installed(checkout, tmp_path)
    moved = tmp_path / 'moved'
    shutil.copytree(checkout, moved, symlinks=True)
    assert (moved / 'vicmae_mm/.mim/tools').resolve() == (moved / 'tools').resolve()
    # A wheel built from such a checkout has copies, once.
    names = zipfile.ZipFile(build(checkout, 'wheel', tmp_path / 'w')).namelist()
    assert set(names) >= carried() and len(names) == len(set(names))


def check_installed(site: Path, folder: Path) -> None:
    """As installed in ``site``: a config of another project builds on ours, and mim's files."""
    (folder / 'mine.py').write_text("_base_ = 'vicmae_mm::ablations/table5_pool-max.py'\n")
    (folder / 'top.py').write_text("_base_ = 'vicmae_mm::vicmae_vit-b16_k400.py'\n")
    code = f'''
import vicmae_mm
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.utils import get_installed_path
from pathlib import Path
assert vicmae_mm.__file__.startswith({str(site)!r}), vicmae_mm.__file__
mine = Config.fromfile({str(folder / 'mine.py')!r})
assert mine.model.pooling.mode == 'max' and mine.model.backbone.type == 'vicmae_mm.ViCMAEViT'
assert Config.fromfile({str(folder / 'top.py')!r}).default_scope == 'mmpretrain'
assert get_config('vicmae_mm::vicmae_vit-b16_k400.py').model.type == 'vicmae_mm.ViCMAE'
assert get_config('vicmae_mm::ablations/table5_pool-max.py').model.pooling.mode == 'max'
mim = Path(get_installed_path('vicmae_mm')) / '.mim'
assert (mim / 'tools/train.py').is_file() and (mim / 'configs/vicmae_vit-b16_k400.py').is_file()
'''
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=folder, capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=str(site)))
    assert done.returncode == 0, done.stderr[-3000:]


def test_dependencies(metadata):
    assert (metadata['Name'], metadata['License-Expression'] or metadata['License']) == (
        'vicmae_mm', 'Apache-2.0')
    assert SpecifierSet(metadata['Requires-Python']) == SpecifierSet('>=3.10,<3.14')
    plain = [r for r in metadata.get_all('Requires-Dist') if 'extra ==' not in r]
    names = {Requirement(r).name for r in plain}
    assert {'torch', 'mmengine', 'mmaction2', 'mmpretrain', 'av', 'setuptools'} <= names
    assert 'decord' not in names  # an extra
    # Either would overwrite the other's files: the user's choice, by the extra `lite`.
    assert not names & {'mmcv', 'mmcv-lite'}
    assert {'lite', 'quickstart', 'tests', 'all'} <= set(metadata.get_all('Provides-Extra'))


def test_tested_set_is_within_the_ranges(metadata):
    lines = (REPO / 'requirements/tested.txt').read_text().splitlines()
    pins = dict(line.lower().split('==') for line in lines if not line.startswith('#'))
    for text in metadata.get_all('Requires-Dist'):
        requirement = Requirement(text)
        # torchcodec is chosen by the user, to fit torch; extras are made of extras
        if requirement.name in ('torchcodec', 'vicmae_mm'):
            continue
        assert requirement.specifier.contains(pins[requirement.name]), text


def test_lowest_set_is_where_the_ranges_begin(metadata):
    lines = (REPO / 'requirements/lowest.txt').read_text().splitlines()
    pins = dict(line.split('==') for line in lines if not line.startswith('#'))
    for text in metadata.get_all('Requires-Dist'):
        requirement = Requirement(text)
        for bound in requirement.specifier:
            if bound.operator in ('>=', '=='):
                assert Version(pins[requirement.name]) == Version(bound.version), text
