"""Checks of a config before anything is started on a GPU: :func:`check_config`."""
from .config_check import check_config
from .findings import Findings

__all__ = ['Findings', 'check_config']
