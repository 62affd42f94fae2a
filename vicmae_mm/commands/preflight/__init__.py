"""Checks of a config before anything is started on a GPU: :func:`check_config`."""
from .config_check import ConfigError, check_config
from .findings import Findings

__all__ = ['ConfigError', 'Findings', 'check_config']
