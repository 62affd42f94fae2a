"""A transform that logs show with its arguments."""
import inspect

from mmcv.transforms import BaseTransform


class ShownTransform(BaseTransform):
    """Base class: ``repr`` is the call with those arguments that are attributes."""

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters
        shown = ', '.join(f'{name}={getattr(self, name)!r}' for name in names
                          if hasattr(self, name))
        return f'{type(self).__name__}({shown})'
