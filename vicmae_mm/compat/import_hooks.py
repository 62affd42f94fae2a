"""Run a function on a module as soon as somebody imports it.

So :mod:`vicmae_mm.compat.patches` can mend a library's module without importing it:
``import vicmae_mm`` stays light, and a config that never touches the module
never pays for it.
"""
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

OnImport = Callable[[Any], None]
_OPENMMLAB = ('mmengine', 'mmcv', 'mmaction', 'mmpretrain')


class ImportHooks(MetaPathFinder):
    """Functions to run on modules: at once if already imported, else right after their import."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[OnImport]] = {}

    def on_import(self, *modules: str) -> Callable[[OnImport], OnImport]:
        """Decorator: have the function called on each of ``modules``."""

        def register(hook: OnImport) -> OnImport:
            for name in modules:
                self.hooks.setdefault(name, []).append(hook)
            return hook

        return register

    def install(self) -> None:
        """Run the hooks of modules that are imported already, and wait for the others.

        Does nothing the second time.
        """
        if self in sys.meta_path:
            return
        sys.meta_path.insert(0, self)
        for name in self.hooks:
            if name in sys.modules:
                self._run(sys.modules[name])

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        """Let the other finders find the module; add the hooks to its execution."""
        if fullname not in self.hooks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = find(fullname, path, target) if find and finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    self._run_after(spec.loader)
                return spec
        return None

    def _run_after(self, loader: Loader) -> None:
        execute = loader.exec_module

        def execute_and_run(module: ModuleType) -> None:
            execute(module)
            self._run(module)

        # On the instance, which serves this one module: its type stays as tools expect it.
        setattr(loader, 'exec_module', execute_and_run)  # noqa: B010

    def _run(self, module: ModuleType) -> None:
        for hook in self.hooks[module.__name__]:
            hook(module)


class MissingPackage(MetaPathFinder, Loader):
    """Stands in for a package that its distribution forgot; the real one wins if there.

    Args:
        package (str): Dotted name.
        modules (dict): Per module of the package ('' for the package itself), its contents.
    """

    def __init__(self, package: str, modules: dict[str, dict]) -> None:
        self.contents = {f'{package}.{name}'.rstrip('.'): c for name, c in modules.items()}
        self.package = package

    def install(self) -> None:
        """Answer after every other finder has failed."""
        if self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        """Answer for the package and its modules alone."""
        if fullname not in self.contents:
            return None
        return ModuleSpec(fullname, self, is_package=fullname == self.package)

    def exec_module(self, module: ModuleType) -> None:
        """Fill in the contents."""
        vars(module).update(self.contents[module.__name__])


def rebind(old: object, new: object, name: str) -> None:
    """Make every loaded OpenMMLab module that did ``from ... import name`` see ``new``."""
    for module in list(sys.modules.values()):
        package = getattr(module, '__name__', '').partition('.')[0]
        if package in _OPENMMLAB and vars(module).get(name) is old:
            setattr(module, name, new)
