"""Rooms import only what is below them: the contract in pyproject.toml, and no name twice."""
import ast
import inspect
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.conftest import REPO

PACKAGE = REPO / 'vicmae_mm'
# Names that stand in several modules because they mean the same thing there.
SAME_MEANING: set[str] = set()


def test_contract_is_kept(monkeypatch, capsys):
    # By its settings of logging, it would disable every other logger of this process.
    monkeypatch.setattr('logging.config.dictConfig', lambda settings: None)
    monkeypatch.chdir(REPO)
    status = lint_imports(config_filename='pyproject.toml', no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob('*.py')
                  if '.mim' not in path.parts and path.name != '__init__.py')


def public_names(path: Path) -> list[str]:
    return [node.name for node in ast.parse(path.read_text()).body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != '_']


@pytest.mark.parametrize('names_of', [lambda path: [path.stem], public_names],
                         ids=['modules', 'classes and functions'])
def test_a_name_occurs_once(names_of):
    places = defaultdict(set)
    for path in modules():
        for name in names_of(path):
            places[name].add(str(path.relative_to(PACKAGE)))
    twice = {name: sorted(found) for name, found in places.items()
             if len(found) > 1 and name not in SAME_MEANING}
    assert not twice


def test_only_the_package_itself_is_loose_at_its_root():
    assert {path.name for path in PACKAGE.glob('*.py')} == {
        '__init__.py', 'registry.py', 'structures.py', 'version.py'}


@pytest.mark.parametrize('folder', ['models', 'datasets'])
def test_a_star_import_gives_no_modules(folder):
    names: dict = {}
    exec(f'from vicmae_mm.{folder} import *', names)
    del names['__builtins__']
    assert names and not [name for name, each in names.items() if inspect.ismodule(each)]
    assert {*import_module(f'vicmae_mm.{folder}').__all__} == {*names}
