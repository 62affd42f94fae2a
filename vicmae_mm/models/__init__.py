"""Models, importable as ``vicmae_mm.models`` and buildable from a config."""
from . import backbones, heads, layers, necks, preprocessors
from .backbones import *  # noqa: F403  (what their __all__ name)
from .encoder import Encoder
from .heads import *  # noqa: F403
from .layers import *  # noqa: F403
from .necks import *  # noqa: F403
from .preprocessors import *  # noqa: F403
from .vicmae import ViCMAE

__all__ = [
    'Encoder', 'ViCMAE', *backbones.__all__, *heads.__all__, *layers.__all__, *necks.__all__,
    *preprocessors.__all__
]
