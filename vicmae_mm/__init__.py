"""ViC-MAE (arXiv 2303.12001) as an OpenMMLab plugin.

``custom_imports = dict(imports=['vicmae_mm'])`` is all a config needs: the
import patches the upstream faults listed in :mod:`vicmae_mm.compat` and makes the
scope ``vicmae_mm`` known; components are imported when first built.
"""
from . import compat

compat.apply()

from . import registry  # noqa: E402  (compat must be in place before mmengine is used)
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'compat', 'registry']
