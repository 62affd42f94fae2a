"""Hooks, loops, optimizer wrappers and the log processor for mmengine's Runner."""
from .global_log_processor import GlobalLogProcessor  # noqa: F401
from .hooks import *  # noqa: F403
from .loops import *  # noqa: F403
from .optimizers import *  # noqa: F403
