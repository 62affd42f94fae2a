"""Checks of a config before anything is started on a GPU: :func:`check_config`."""
from .config_check import ConfigError, check_config, count_processes, is_first_process
from .findings import Findings
from .misspelt_options import misspelt_options

__all__ = [
    'ConfigError', 'Findings', 'check_config', 'count_processes', 'is_first_process',
    'misspelt_options'
]
