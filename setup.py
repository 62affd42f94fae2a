"""Packaging. Settings of tools (ruff, mypy, pytest) are in pyproject.toml."""
import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What `mim train vicmae_mm CONFIG` and `_base_ = 'vicmae_mm::...'` look for in vicmae_mm/.mim.
CARRIED = ('configs', 'tools', 'model-index.yml')


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


def version() -> str:
    text = (ROOT / 'vicmae_mm' / 'version.py').read_text()
    return re.search(r"__version__ = '(.+)'", text)[1]


QUICKSTART = ['matplotlib', 'scikit-learn']
TENSORBOARD = ['tensorboard']
KORNIA = ['kornia>=0.8']

setup(
    name='vicmae_mm',
    version=version(),
    description='ViC-MAE (arXiv 2303.12001): self-supervised pre-training on videos, '
    'as a plugin for mmengine, mmaction2 and mmpretrain',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    packages=find_packages(include=['vicmae_mm', 'vicmae_mm.*']),
    include_package_data=True,
    cmdclass=dict(build_py=BuildWithMim),
    python_requires='>=3.10,<3.14',
    install_requires=[
        'av>=16,<19',  # 19 drops an option of av.open that the reader uses
        'decord>=0.6.0; platform_machine == "x86_64"',  # no other wheels; not the default
        'fsspec',  # comes with torch
        'mmaction2==1.2.0',
        'mmengine>=0.10.5,<1',
        'mmpretrain>=1.2.0,<2',
        'numpy',
        'pillow>=10.1',  # a font of any size comes with it
        'safetensors>=0.4',
        'setuptools<82',  # mmengine 0.10 imports pkg_resources
        'torch>=2.1',
        'torchvision>=0.16',
    ],
    extras_require=dict(
        # An extra, because it would overwrite the files of a full mmcv.
        lite=['mmcv-lite>=2.0.1,<2.2'],
        quickstart=QUICKSTART,
        tensorboard=TENSORBOARD,
        kornia=KORNIA,  # augmentation on the GPU
        # Not in `all`: it needs a system FFmpeg and fits one minor version of torch.
        torchcodec=['torchcodec'],
        all=[*QUICKSTART, *TENSORBOARD, *KORNIA],
        tests=[*QUICKSTART, *TENSORBOARD, *KORNIA, 'mypy', 'pytest', 'pytest-xdist', 'ruff', 'timm',
               'transformers'],
    ),
    classifiers=[
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
