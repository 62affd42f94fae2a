"""The result of a call whose process did not survive it."""
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class FailedCall:
    """Takes the place of a result if the process of a call crashed or hung; says which."""
    reason: str

    @classmethod
    def timed_out(cls, seconds: float) -> 'FailedCall':
        """The call was ended after ``seconds``."""
        return cls(f'took longer than {seconds:g} s')

    @classmethod
    def crashed(cls, exitcode: int | None) -> 'FailedCall':
        """The process exited, or died of a signal."""
        return cls(f'crashed the process that read it ({exit_text(exitcode)})')


def exit_text(code: int | None) -> str:
    """Describe an exit code as in ``multiprocessing``, where negative numbers are signals."""
    if code is None or code >= 0:
        return f'exit code {"unknown" if code is None else code}'
    name = signal.Signals(-code).name
    # It is the signal that the kernel sends when memory runs out.
    return f'{name}; out of memory?' if name == 'SIGKILL' else name
