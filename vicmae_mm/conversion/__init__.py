"""Checkpoints of other families in and out."""
from vicmae_mm.apis.checkpoint_family import detect_family

from .converter import NAMES, Conversion, convert, convert_with_report
from .files import read_checkpoint, read_with_extras, write_checkpoint

__all__ = [
    'NAMES', 'Conversion', 'convert', 'convert_with_report', 'detect_family', 'read_checkpoint',
    'read_with_extras', 'write_checkpoint'
]
