"""Models, importable as ``vicmae_mm.models`` and buildable by config."""
from .backbones import *  # noqa: F403
from .heads import *  # noqa: F403
from .necks import *  # noqa: F403
from .utils import *  # noqa: F403
from .vicmae import ViCMAE

__all__ = ['ViCMAE']
