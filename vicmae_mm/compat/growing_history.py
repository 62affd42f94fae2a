"""What replaces the storage of mmengine's ``HistoryBuffer``."""
from collections.abc import Callable
from typing import Any

import numpy as np

_STATE = ('max_length', '_log_history', '_count_history')


def _history(array: str) -> property:
    def read(self: Any) -> np.ndarray:
        self._read_late()
        return getattr(self, array)[max(self._end - self.max_length, 0):self._end]

    def write(self: Any, values: np.ndarray) -> None:
        setattr(self, array, values)
        self._end, self._late = len(values), None

    return property(read, write)


class GrowingHistory:
    """Appends in constant time, takes values that are read later, is saved as plain numbers.

    mmengine copies the history for each value, 23 ms per step after 300,000, and saves methods.
    """

    max_length: int
    updates = 0  # since it was made or loaded
    _set_default_statistics: Callable[[], None]
    _log = _count = np.empty(0)
    _end = 0  # of the values in these arrays; the rest is room for more
    _late: tuple[Callable[[], Any], int] | None = None
    _log_history, _count_history = _history('_log'), _history('_count')

    def update(self, log_val: Any, count: int = 1) -> None:
        """Append a value, or what a function returns when the value is needed, unless None."""
        self._read_late()
        if callable(log_val):
            self._late = log_val, count
        elif isinstance(log_val, (int, float)) and isinstance(count, (int, float)):
            self._append(log_val, count)
        else:
            raise TypeError(f'log_val must be int or float but got {type(log_val)}, count must be '
                            f'int but got {type(count)}')

    def _read_late(self) -> None:
        if self._late is not None:
            (read, count), self._late = self._late, None
            if (value := read()) is not None:
                self._append(value, count)

    def _append(self, value: float, count: float) -> None:
        kinds = [np.promote_types(array.dtype, type(one)) for array, one in (
            (self._log, value), (self._count, count))]  # as np.append
        if self._end == len(self._log) or kinds != [self._log.dtype, self._count.dtype]:
            kept = slice(max(self._end - self.max_length, 0), self._end)
            self._log = _with_room(self._log[kept], kinds[0])
            self._count = _with_room(self._count[kept], kinds[1])
            self._end = kept.stop - kept.start
        self._log[self._end], self._count[self._end] = value, count
        self._end += 1
        self.updates += 1

    def __getstate__(self) -> dict:
        """Only numbers: such checkpoints need no ``getattr``, and any mmengine reads them."""
        return {name: getattr(self, name) for name in _STATE}

    def __setstate__(self, state: dict) -> None:
        """Only numbers: loading cannot replace methods."""
        self._set_default_statistics()  # in a new process, no buffer may have been made yet
        for name in _STATE:
            setattr(self, name, state[name])


def _with_room(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    return np.concatenate([values.astype(kind), np.empty(len(values) + 16, kind)])
