"""Converting checkpoints between this package and other families."""
from .converter import NAMES, Conversion, convert, convert_with_report
from .detect import describe_family

__all__ = ['NAMES', 'Conversion', 'convert', 'convert_with_report', 'describe_family']
