"""Models, importable as ``vicmae_mm.models`` and buildable from a config."""
from .backbones import *  # noqa: F403
from .encoder import Encoder  # noqa: F401
from .heads import *  # noqa: F403
from .layers import *  # noqa: F403
from .necks import *  # noqa: F403
from .preprocessors import *  # noqa: F403
from .vicmae import ViCMAE  # noqa: F401
