"""Hooks, loops and optimizer wrappers for mmengine's Runner."""
from .hooks import *  # noqa: F403
from .loops import *  # noqa: F403
from .optimizers import *  # noqa: F403
