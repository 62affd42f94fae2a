"""Decisions and errors of the main process that hold for all processes of a run."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

from vicmae_mm.utils.errors import InputError, RunError


def on_main_process(call: Callable[[], Any]) -> Any:
    """Call a function on the main process only; every process returns its result, pickled.

    Raises:
        RunError: On every process, if the function raised one.
        InputError: On every process, if it raised any other error; with the same message.
    """
    outcome: list[Any] = [None, None]
    cause: Exception | None = None
    if is_main_process():
        try:
            outcome[0] = call()
        # Whatever the error, the other processes wait in the broadcast below.
        except Exception as error:
            kind = RunError if isinstance(error, RunError) else InputError
            cause, outcome[1] = error, (kind, str(error) or type(error).__name__)
    broadcast_object_list(outcome)
    result, problem = outcome
    if problem is not None:
        kind, message = problem
        raise kind(message) from cause
    return result


@contextmanager
def shared_errors() -> Iterator[None]:
    """Let an error of the main process in the block stop every process, at the end of the block.

    Raises:
        RunError: On the other processes, with the message of the main process.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    message = [error and (str(error) or type(error).__name__)]
    broadcast_object_list(message)
    if error or message[0]:
        raise error or RunError(message[0])
