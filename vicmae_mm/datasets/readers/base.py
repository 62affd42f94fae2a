"""What every video reader is, and the one error it raises about a file."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np

from vicmae_mm.utils.errors import UserError

Self = TypeVar('Self', bound='VideoReader')


class VideoError(UserError, RuntimeError):
    """Something is wrong with a video file, as opposed to with the program.

    Attributes:
        path: The file.
        reason: What is wrong with it, in a few words. ``str(error)`` reads ``path: reason``.
    """

    # A data loader rebuilds an error of its worker from one argument, the traceback as text.
    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(path, reason)  # both, so that a worker process can pickle it
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}' if self.reason else self.path


class VideoReader(ABC):
    """An opened video, whose frames are numbered 0, 1, ... in the order they are shown.

    Frame ``i`` is the ``i``-th frame of a decode from the start, turned upright where the file
    says how, whichever frames are asked for and in whatever order.

    Attributes:
        path: The file.
        num_frames: How many frames there are, >= 1.
        fps: Average frames a second; 0.0 where the file does not say.
    """

    def __init__(self, path: str, num_frames: int, fps: float) -> None:
        self.path = path
        self.num_frames = num_frames
        self.fps = fps

    def get_frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decode some frames; a frame asked for several times is decoded once.

        Args:
            indices: Frame numbers in [0, num_frames), in any order, repeats allowed.

        Returns:
            One HxWx3 uint8 RGB array for each index, in the order asked, none sharing memory.

        Raises:
            IndexError: A number is outside [0, num_frames).
            VideoError: A frame does not decode.
        """
        wanted = [int(i) for i in indices]
        for i in wanted:
            if not 0 <= i < self.num_frames:
                raise IndexError(
                    f'{self.path}: frame {i} was asked for, but the frames of this video are '
                    f'numbered 0 to {self.num_frames - 1}')
        frames = self._decode(sorted(set(wanted)))
        given: set[int] = set()
        result = []
        for i in wanted:
            result.append(frames[i].copy() if i in given else frames[i])
            given.add(i)
        return result

    @abstractmethod
    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """The frames ``wanted``, which are ascending, distinct and in range."""

    @abstractmethod
    def close(self) -> None:
        """Release the file. Closing twice is allowed."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
