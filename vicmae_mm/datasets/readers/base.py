"""The interface of video readers, and the errors they raise about a file."""
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR
from typing import Any, TypeVar

import numpy as np

from vicmae_mm.utils.errors import UserError

Self = TypeVar('Self', bound='VideoReader')
Result = TypeVar('Result')

# What the system says about a path. All else (EIO, ESTALE, EACCES, EMFILE, ...) is about a disk, a
# mount, permissions or resources: the file may be good.
_ABOUT_THE_PATH = {ENOENT: 'does not exist', ENOTDIR: 'does not exist', EISDIR: 'is a folder',
                   ELOOP: 'is a link to itself', ENAMETOOLONG: 'has a name that is too long'}
RETRY_WAITS = (.1, .4, 1.6)  # seconds


class VideoError(UserError, RuntimeError):
    """The video file at ``path`` cannot be read; ``reason`` says why in a few words."""

    # The default is for data loaders: they rebuild a worker's error from its traceback alone.
    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(path, reason)  # both, so that a worker process can pickle it
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}' if self.reason else self.path


class MachineError(VideoError):
    """The system could not read a file that may be good; ``errno`` is the system's number."""

    def __init__(self, path: str, reason: str = '', errno: int = 0) -> None:
        super().__init__(path, reason)
        self.errno = errno
        self.args = (path, reason, errno)


def file_error(path: str, error: Exception, failed: str = 'cannot be read') -> VideoError:
    """The error to raise for one of the system or of a library, about the file at ``path``.

    Args:
        error: Of the system, PyAV, numpy, ...
        failed: What a library's error means, in words that follow the path.
    """
    code = getattr(error, 'errno', None)
    words = (getattr(error, 'strerror', None) or str(error) or type(error).__name__).split('\n')[0]
    # libavcodec has errors with the numbers of the system's that are about the content.
    system = isinstance(error, OSError) and not type(error).__module__.startswith('av.')
    if system and code in _ABOUT_THE_PATH:
        return VideoError(path, _ABOUT_THE_PATH[code])
    if isinstance(error, MemoryError) or (system and code is not None):
        return MachineError(path, f'could not be read now ({words})', code or ENOMEM)
    return VideoError(path, f'{failed} ({words})')


@contextmanager
def naming_file(path: str, failed: str = 'cannot be read') -> Iterator[None]:
    """Raise what the system and libraries raise as :func:`file_error` does; a bug stays itself."""
    try:
        yield
    except (UserError, ImportError):
        raise
    except Exception as error:
        # PyAV's errors have no common built-in base, but they have a number.
        if hasattr(error, 'errno') or isinstance(
                error, (MemoryError, ValueError, RuntimeError, ArithmeticError)):
            raise file_error(path, error, failed) from error
        raise


def retried(call: Callable[[], Result]) -> Result:
    """The result of a call, repeated a few times if it raises a MachineError."""
    for wait in RETRY_WAITS:
        with suppress(MachineError):
            return call()
        time.sleep(wait)
    return call()


class FrameNumberError(UserError, IndexError):
    """A pipeline requests a frame that the video does not have."""


class ForeignDecoderError(UserError, AttributeError):
    """A transform of another library takes the reader for that library's own."""


class VideoReader(ABC):
    """An open video, whose frames are numbered 0, 1, ... in presentation order.

    Frame ``i`` is the ``i``-th frame of a sequential decode, rotated as the file specifies,
    whichever frames are requested and in whatever order.

    Attributes:
        path: The file.
        num_frames: Number of frames, >= 1.
        fps: Average frames per second; 0.0 if the file does not say.
    """

    def __init__(self, path: str, num_frames: int, fps: float) -> None:
        self.path = path
        self.num_frames = num_frames
        self.fps = fps

    def get_frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decode frames; each is decoded once, however often it is requested.

        Args:
            indices: Frame numbers in [0, num_frames), in any order, repeats allowed.

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
        with naming_file(self.path, 'cannot be decoded'):
            frames = self._decode(sorted(set(wanted)))
        # Callers may change a frame in place, so a repeated one is a copy.
        return [frames[i] if i not in wanted[:n] else frames[i].copy()
                for n, i in enumerate(wanted)]

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
