"""Packages that a run would miss only when it logs its first value."""
from importlib.util import find_spec

from mmengine.visualization import Visualizer

from .findings import Findings


def check_packages(visualizer: Visualizer, findings: Findings) -> None:
    """Check that the packages of mmengine's visualizer backends are installed."""
    for backend in visualizer._vis_backends.values():
        kind = type(backend)
        name = kind.__name__.removesuffix('VisBackend').lower()
        if kind.__module__.startswith('mmengine.') and name != 'local' and not find_spec(name):
            extra = "'vicmae_mm[tensorboard]'" if name == 'tensorboard' else name
            findings.error(f'visualizer: {kind.__name__} needs {name}, which is not installed: '
                           f'pip install {extra}')
