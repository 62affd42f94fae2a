"""What comes of a call whose process did not survive it."""
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class FailedCall:
    """In place of a result: the process of this call crashed or hung.

    Attributes:
        reason: Which of the two, for people.
    """
    reason: str

    @classmethod
    def timed_out(cls, seconds: float) -> 'FailedCall':
        """The call was ended after ``seconds``."""
        return cls(f'took longer than {seconds:g} s')

    @classmethod
    def crashed(cls, exitcode: int | None) -> 'FailedCall':
        """The process ended by itself or by a signal."""
        return cls(f'crashed the process that read it ({exit_text(exitcode)})')


def exit_text(code: int | None) -> str:
    """An exit code as ``multiprocessing`` has it (negative: a signal), for people."""
    if code is None or code >= 0:
        return f'exit code {"unknown" if code is None else code}'
    name = signal.Signals(-code).name
    return f'{name}; out of memory?' if name == 'SIGKILL' else name
