"""The interface of video readers, and the errors they raise about a file."""
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np

from vicmae_mm.utils.errors import InputError, UserError
from vicmae_mm.utils.processes.pool import still_working

Self = TypeVar('Self', bound='VideoReader')
Result = TypeVar('Result')

# All other errors of the system (EIO, ESTALE, EACCES, EMFILE, ...) leave open if the file is good.
_ABOUT_THE_PATH = {ENOENT: 'does not exist', ENOTDIR: 'does not exist', EISDIR: 'is a folder',
                   ELOOP: 'is a link to itself', ENAMETOOLONG: 'has a name that is too long'}
RETRY_WAITS = (.1, .4, 1.6)  # seconds


class VideoError(UserError, RuntimeError):
    """The video file at ``path`` cannot be read; ``reason`` says why in a few words."""

    whole_file = False  # whether it cannot be opened at all

    # The default is for data loaders: they rebuild a worker's error from its traceback alone.
    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(path, reason)  # both, so that a worker process can pickle it
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}' if self.reason else self.path


class MachineError(VideoError):
    """The system failed to read a file that may be good; ``errno`` says how, in its numbers."""
    errno = 0


@contextmanager
def naming_file(path: str, failed: str = 'cannot be read') -> Iterator[None]:
    """Raise errors of libraries (PyAV, numpy, ...) and the system as VideoErrors about a file.

    ``failed`` says what an error of a library means, in words that follow the path.
    """
    try:
        yield
    except (UserError, ImportError):
        raise
    except Exception as error:
        code = getattr(error, 'errno', 0)  # all of PyAV's errors have one
        if not code and not isinstance(error, (OSError, MemoryError, ValueError, ArithmeticError)):
            raise  # a bug
        text = getattr(error, 'strerror', None) or str(error).split('\n')[0]
        if not is_machines(error):
            known = _ABOUT_THE_PATH.get(_system_number(error) or 0)
            raise VideoError(path, known or f'{failed} ({text})') from error
        fault = MachineError(path, f'could not be read now ({text or "out of memory"})')
        fault.errno = code or ENOMEM
        raise fault from error


def is_machines(error: BaseException) -> bool:
    """Whether an error is due to the machine: a disk, mount, permission or lack of resources."""
    return isinstance(error, (MachineError, MemoryError)) or (
        _system_number(error) not in (None, *_ABOUT_THE_PATH))


def _system_number(error: BaseException) -> int | None:
    # Other errors of PyAV than a lack of memory are about the content, whatever their numbers.
    system = isinstance(error, OSError) and not type(error).__module__.startswith('av.')
    return error.errno if system else None  # type: ignore[attr-defined]


def retried(function: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a function to be called again, a few times, while it fails due to the machine."""
    @wraps(function)
    def call(*args: Any) -> Result:
        for wait in RETRY_WAITS:
            try:
                return function(*args)
            except Exception as error:
                if not is_machines(error):
                    raise
            time.sleep(wait)
        return function(*args)
    return call


class FrameNumberError(UserError, IndexError):
    """A pipeline requests a frame that the video does not have."""


class ForeignDecoderError(UserError, AttributeError):
    """A transform of another library takes the reader for that library's own."""


class VideoReader(ABC):
    """An open video, whose frames are numbered 0, 1, ... in presentation order.

    Frame ``i`` is the ``i``-th frame of a sequential decode, rotated as the file specifies,
    whichever frames are requested and in whatever order.
    """

    def __init__(self, path: str, num_frames: int, fps: float) -> None:
        self.path = path
        self.num_frames = num_frames  # >= 1
        self.fps = fps  # average frames per second; 0.0 if the file does not say

    def get_frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decode the frames with these numbers, in any order; repeated ones are decoded once.

        Returns:
            One HxWx3 uint8 RGB array per index, in the order requested, none sharing memory.

        Raises:
            IndexError: A number is outside [0, num_frames).
            VideoError: A frame cannot be decoded; a MachineError if the system is at fault.
        """
        wanted = [int(i) for i in indices]
        for i in wanted:
            if not 0 <= i < self.num_frames:
                raise FrameNumberError(f'{self.path}: frame {i} was requested, but the frames of '
                                       f'this video are numbered 0 to {self.num_frames - 1}')
        still_working()
        with naming_file(self.path, 'cannot be decoded'):
            frames = self._decode(sorted(set(wanted)))
        # Callers may change a frame in place, so a repeated one is a copy.
        return [frames[i] if i not in wanted[:n] else frames[i].copy()
                for n, i in enumerate(wanted)]

    @cached_property
    def frame_times(self) -> np.ndarray:
        """Seconds from the first frame to each: (num_frames,) float64, ascending.

        These are the times at which players show the frames, also with a variable frame rate. Found
        on first use; a VideoError if the file does not tell, or has changed.
        """
        try:
            with naming_file(self.path):
                times = self._find_times()
        except InputError as error:
            raise VideoError(self.path, str(error)) from error
        if len(times) != self.num_frames:
            raise VideoError(self.path, 'changed while it was being read')
        return times

    def _find_times(self) -> np.ndarray:
        """Find :attr:`frame_times`; an InputError's message says in a few words why it cannot."""
        raise InputError('does not tell when its frames are shown')

    @abstractmethod
    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Decode the frames ``wanted``, which are ascending, distinct and in range."""

    @abstractmethod
    def close(self) -> None:
        """Release the file. Closing twice is allowed."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # What mmaction2's DecordDecode, PyAVDecode, OpenCVDecode and PIMSDecode ask their own readers
    # for. An image by [] would be silently wrong: OpenCV's has other channels than PIMS's.
    def __getattr__(self, name: str) -> Any:
        if name in ('get_batch', 'seek', 'decode', 'streams', 'demux'):
            raise ForeignDecoderError(_FOREIGN)
        raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')

    def __getitem__(self, index: int) -> Any:
        raise ForeignDecoderError(_FOREIGN)


_FOREIGN = ('vicmae_mm.VideoInit opened this video, and a transform of another library is to '
            'decode it: use vicmae_mm.VideoDecode, or the Init of the same library')
