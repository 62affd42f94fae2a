"""The one build step that pyproject.toml cannot describe: the .mim folder."""
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What `vicmae`, `mim train vicmae_mm CONFIG` and `_base_ = 'vicmae_mm::...'` look for in
# vicmae_mm/.mim.
CARRIED = ('benchmarks', 'configs', 'docs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Puts configs and tools into the package as ``.mim``: copies, or links if editable.

    OpenMMLab's own packages look for 'develop' in ``sys.argv`` to do so, which pip no longer says.
    """

    def run(self) -> None:
        super().run()
        package = ROOT if self.editable_mode else Path(self.build_lib)
        folder = package / 'vicmae_mm' / '.mim'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in CARRIED:
            source = ROOT / name
            if self.editable_mode:
                os.symlink(os.path.relpath(source, folder), folder / name)
            elif source.is_dir():
                shutil.copytree(source, folder / name,
                                ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(source, folder)


setup(cmdclass=dict(build_py=BuildWithMim))
