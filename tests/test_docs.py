"""The documents name files, links, Python names, commands, options and settings that exist."""
import ast
import contextlib
import functools
import importlib
import io
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

import vicmae_mm
from tests.conftest import REPO
from vicmae_mm import registry
from vicmae_mm.commands import console

DOCUMENTS = sorted([*REPO.glob('*.md'), *(REPO / 'docs').glob('*.md')])
LANGUAGES = 'shell', 'bash', 'text'
MANUAL = [path for path in DOCUMENTS if path.name != 'CHANGELOG.md']  # which has old names too


def exists(name: str) -> bool:
    """A path from the checkout or the package, or the end of one; a placeholder of one to add."""
    if 'my_' in name:
        return True
    return any(any(root.glob(f'**/{name}')) for root in (REPO / 'vicmae_mm', REPO / 'configs')
               ) or (REPO / name).exists()


@pytest.mark.parametrize('name', ['docs/architecture.md', 'CONTRIBUTING.md'])
def test_files_on_the_map_exist(name):
    named = re.findall(r'`([\w./-]+\.(?:py|md|toml))`|`([\w./-]+/)`', (REPO / name).read_text())
    paths = {first or second for first, second in named}
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not exists(path)] == []


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r'\]\(([^)\s]+)\)', document.read_text()):
        if '://' in target:
            continue
        file, _, anchor = target.partition('#')
        path = document.parent / file if file else document
        assert path.exists(), target
        if anchor:
            assert anchor in headings(path), target


def headings(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', path.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


def blocks(text: str, *languages: str) -> list[str]:
    """Fenced blocks of a language, unindented."""
    pattern = rf'^( *)```(?:{"|".join(languages)})\n(.*?)^\1```'
    return [textwrap.dedent(body) for _, body in re.findall(pattern, text, re.M | re.S)]


@pytest.mark.parametrize('document', MANUAL, ids=lambda path: path.name)
def test_python_names_exist(document):
    """``vicmae_mm.ViCMAE`` and ``vicmae_mm.apis.load_model`` after ``import vicmae_mm`` alone."""
    text = document.read_text()
    for name in set(re.findall(r'vicmae_mm((?:\.[A-Za-z]\w*)+)\b(?!/)', text)):
        functools.reduce(getattr, name[1:].split('.'), vicmae_mm)
    for block in blocks(text, 'python'):
        for node in ast.walk(ast.parse(block)):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                assert hasattr(importlib.import_module(node.module), alias.name), alias.name


@pytest.mark.parametrize('document', MANUAL, ids=lambda path: path.name)
def test_configs_in_documents_are_read(document, tmp_path):
    for block in blocks(document.read_text(), 'python'):
        if "_base_ = 'configs/" in block:
            (tmp_path / 'my_config.py').write_text(block.replace("'configs/", f"'{REPO}/configs/"))
            cfg = Config.fromfile(tmp_path / 'my_config.py')
            # What the block sets has a place in the config under it.
            base = Config.fromfile(re.search(rf"'({re.escape(str(REPO))}/configs/.*?)'", (
                tmp_path / 'my_config.py').read_text())[1])
            for name in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
                assert places(cfg[name]) <= places(base[name]), name


def places(node, path=()) -> set[tuple]:
    """Paths of the settings in nested dicts."""
    found = {path}
    for key, value in node.items() if isinstance(node, dict) else ():
        found |= places(value, (*path, key))
    return found


def test_every_component_is_importable_by_its_name_in_configs():
    registries = [value for value in vars(registry).values() if isinstance(value, Registry)]
    for parts in registries:
        parts.import_from_location()
        for name, component in parts.module_dict.items():
            if component.__module__.startswith('vicmae_mm.'):  # not of another test
                assert getattr(vicmae_mm, name) is component
    assert sum(map(len, registries)) > 50
    assert not hasattr(vicmae_mm, 'Nothing') and not hasattr(vicmae_mm, 'nothing')


@pytest.mark.parametrize('document', MANUAL, ids=lambda path: path.name)
def test_shell_blocks_parse(document):
    for block in blocks(document.read_text(), 'shell', 'bash'):
        done = subprocess.run(['bash', '-n'], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f'{done.stderr}\n{block}'


def commands(document: Path) -> list[str]:
    """Commands of ours, each on one line, with the config that a variable stands for."""
    text = re.sub(r'\\+\n', ' ', document.read_text())  # in a docstring, two are one
    named = re.search(r'^C=(\S+)', text, re.M)
    text = text.replace('$C ', f'{named[1]} ') if named else text
    start = r'^ *(?:\$ )?(?:\w+=\S+ )*'
    scripts = re.findall(start + '(?:python|bash) ((?:tools|benchmarks)/.*)', text, re.M)
    # The command vicmae: at the start of a line of code, or in a sentence.
    lines = '\n'.join(blocks(text, *LANGUAGES)) if document.suffix == '.md' else text
    prose = re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)
    named = [*re.findall(start + 'vicmae (.*)', lines, re.M),
             *re.findall(r'`vicmae ([a-z][^`\n]*)`', prose)]
    return scripts + [script_of(command) for command in named]


def script_of(command: str) -> str:
    """``tools/knn.py CHECKPOINT`` of ``knn CHECKPOINT``."""
    name, _, rest = command.partition(' ')
    known = {each: run for group in console.COMMANDS.values() for each, run in group.items()}
    assert name in known, f'vicmae {command}'
    return f'{known[name]} {rest}'


# What the scripts run.
SCRIPTS = {'tools/dist_train.sh': 'tools/train.py', 'tools/slurm_train.sh': 'tools/train.py',
           'tools/dist_test.sh': 'tools/test.py', 'tools/quickstart.sh': 'tools/quickstart.py'}


@functools.cache
def help_of(*command: str) -> str:
    """What a program of ours prints for --help."""
    printed = io.StringIO()
    argv = [*command, '--help']
    path = [str((REPO / command[0]).parent), *sys.path]
    with (mock.patch.object(sys, 'argv', argv), mock.patch.object(sys, 'path', path),
          contextlib.redirect_stdout(printed), pytest.raises(SystemExit)):
        runpy.run_path(str(REPO / command[0]), run_name='__main__')
    return printed.getvalue()


@functools.cache
def config(name: str) -> Config:
    return Config.fromfile(str(REPO / name), import_custom_modules=False)


@pytest.mark.parametrize(
    'document', [*MANUAL, *sorted((REPO / 'tools').rglob('*.py'))], ids=lambda path: path.name)
def test_commands_options_and_settings_exist(document):
    for command in commands(document):
        name, *words = shlex.split(command, comments=True)
        assert (REPO / name).exists(), command
        program = SCRIPTS.get(name, name)
        options = set(re.findall(r'(?<![\w-])--[a-z][\w-]*', ' '.join(words)))
        if options and program.endswith('.py'):
            subcommand = words[:1] if program == 'benchmarks/run.py' else []
            assert options <= set(re.findall(r'--[\w-]+', help_of(program, *subcommand))), command
        configs = [word for word in words if re.fullmatch(r'configs/[\w/.-]+\.py', word)]
        for path in configs:
            assert (REPO / path).exists(), path
        if '--cfg-options' in words and len(configs) == 1:
            for setting in re.findall(r' ([\w.]+)=', ' '.join(words)):
                # Its place; the setting itself may be a default that the config does not spell out.
                place = config(configs[0])
                for key in setting.split('.')[:-1]:
                    place = place[int(key) if key.isdecimal() else key]
                assert place is not None, setting
