"""Checkpoints of other families in and out."""
from vicmae_mm.apis.checkpoint_family import detect_family

from .converter import NAMES, Conversion, convert, convert_with_report
from .families import wrapper
from .files import check_suffix, read_checkpoint, read_with_extras, write_checkpoint
from .names import shorten

__all__ = [
    'NAMES', 'Conversion', 'check_suffix', 'convert', 'convert_with_report', 'detect_family',
    'read_checkpoint', 'read_with_extras', 'shorten', 'wrapper', 'write_checkpoint'
]
