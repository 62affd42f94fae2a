"""Checks of a config before anything is started on a GPU: :func:`check_config`."""
from .check import ConfigError, check_config
from .findings import Findings
from .options import misspelt_options
from .processes import count_processes, is_first_process

__all__ = [
    'ConfigError', 'Findings', 'check_config', 'count_processes', 'is_first_process',
    'misspelt_options'
]
