"""Run a function on a module as soon as it is imported, without importing it here.

``import vicmae_mm`` stays light, and a config pays only for the modules that it uses.
"""
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

OnImport = Callable[[Any], None]
_OPENMMLAB = ('mmengine', 'mmcv', 'mmaction', 'mmpretrain')


class ImportHooks(MetaPathFinder):
    """Functions to run on modules: at once if already imported, else right after their import."""

    def __init__(self) -> None:
        self.functions: dict[str, list[OnImport]] = {}

    def on_import(self, *modules: str) -> Callable[[OnImport], OnImport]:
        """Decorator: have the function called on each of ``modules``."""

        def register(function: OnImport) -> OnImport:
            for name in modules:
                self.functions.setdefault(name, []).append(function)
            return function

        return register

    def install(self) -> None:
        """Call the functions of modules already imported, and wait for the remaining modules."""
        if self in sys.meta_path:
            return
        sys.meta_path.insert(0, self)
        for name in self.functions:
            if name in sys.modules:
                self._run(sys.modules[name])

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        """Let the other finders find the module; add the functions to its execution."""
        if fullname not in self.functions:
            return None
        # The finders themselves, not importlib.util.find_spec: that would call this one again.
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = find(fullname, path, target) if find and finder is not self else None
            if spec is not None and spec.loader is not None:
                # On the instance, which serves this one module: its type stays what tools expect.
                run_after = partial(self._execute_and_run, spec.loader.exec_module)
                setattr(spec.loader, 'exec_module', run_after)  # noqa: B010
            if spec is not None:
                return spec
        return None

    def _execute_and_run(self, execute: Callable, module: ModuleType) -> None:
        execute(module)
        self._run(module)

    def _run(self, module: ModuleType) -> None:
        for function in self.functions[module.__name__]:
            function(module)


def rebind(old: Callable, new: Callable) -> None:
    """Replace a function where it is defined and where a loaded OpenMMLab module imported it."""
    for module in list(sys.modules.values()):
        package = getattr(module, '__name__', '').partition('.')[0]
        if package in _OPENMMLAB and vars(module).get(new.__name__) is old:
            setattr(module, new.__name__, new)


hooks = ImportHooks()
