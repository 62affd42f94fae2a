"""Calling the scripts of tools/data, and mmaction2's own list maker to compare with."""
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import mmaction
import pytest

from vicmae_mm.commands.preparation import converting
from vicmae_mm.utils.processes import pool

Tool = Callable[..., int]


@pytest.fixture
def tool(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Run ``tools/data/<name>.py`` in ``tmp_path``; returns its exit status (1 for a message)."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *args: str | Path) -> int:
        script = repo / 'tools/data' / f'{name}.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
                return 1
            return int(end.code or 0)
        return 0

    return call


@pytest.fixture
def mmaction_lists() -> ModuleType:
    """mmaction2's ``tools/data/parse_file_list.py``; it reads ``data/<name>/annotations``."""
    path = Path(mmaction.__path__[0]) / '.mim/tools/data/parse_file_list.py'
    if not path.exists():
        pytest.skip('mmaction2 is installed without its tools')
    spec = importlib.util.spec_from_file_location('mmaction_parse_file_list', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tools call their functions here, where the test can make them fail."""
    def call(function: Callable, tasks: Iterable, *_: float) -> Iterator[tuple]:
        return ((task, function(task)) for task in tasks)

    monkeypatch.setattr(pool, 'run_isolated', call)
    monkeypatch.setattr(converting, 'run_isolated', call)
