"""Run a tool, and print the errors that the user can fix in one line."""
import io
import logging
import os
import re
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from itertools import takewhile
from types import FrameType

from mmengine.config.utils import ConfigParsingError
from mmengine.logging import MMLogger

from vicmae_mm.utils.errors import UserError
from vicmae_mm.utils.home_folder import expand_arguments

from .scope_advice import argument_advice, scope_advice
from .stopping import is_stopped, stops_quietly
from .terminal import TerminalFormatter

_FOR_THE_USER = (UserError, OSError, ImportError, SyntaxError, ConfigParsingError)
_FROM_PROCESS = '.\nOriginal Traceback'  # written by torch's ExceptionWrapper
_LOADER = os.path.join('torch', 'utils', 'data', 'dataloader.py')
_CONFIG = os.path.join('mmengine', 'config', 'config.py')
_REGISTRY = os.path.join('mmengine', 'registry', 'build_functions.py')


@stops_quietly()
def run_tool(main: Callable[[], int | None]) -> None:
    """Run ``main``; an error that the user can fix ends it with ``error: ...`` and status 1.

    A number that ``main`` returns is the exit status. Ctrl-C and SIGTERM are one line, too.

    Its traceback goes to the run's log file, if there is one yet, or to the terminal instead with
    ``VICMAE_TRACEBACK=1``. Bugs keep their traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is not UTF-8 would be an error
        sys.stdout.reconfigure(errors='backslashreplace')
    sys.argv[1:] = expand_arguments(sys.argv[1:])
    warnings.filterwarnings('ignore', 'This DataLoader will create')  # on a few cores, each time
    for handler in MMLogger.get_current_instance().handlers:  # mmengine's, until a run has its own
        if not isinstance(handler, logging.FileHandler):
            handler.setFormatter(TerminalFormatter())
    try:
        status = main()
        if status is not None:
            sys.exit(status)
    except Exception as error:
        # torch's handler raises, at whatever line is running, when a data-loading worker dies.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python's last flush would fail
            sys.exit(128 + signal.SIGPIPE)  # as a shell counts it
        message = user_message(error)
        if message is None or is_stopped() or os.environ.get('VICMAE_TRACEBACK') == '1':
            raise
        record = logging.LogRecord('', logging.ERROR, '', 0, traceback.format_exc(), (), None)
        # Only into the log file: the terminal gets the one line.
        for handler in MMLogger.get_current_instance().handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)
        rank = f' (rank {os.environ["RANK"]})' if os.environ.get('WORLD_SIZE', '1') != '1' else ''
        sys.exit(f'error{rank}: {message}')


def _output_is_closed() -> bool:
    """Whether the program that reads the output, such as ``head``, has ended."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def user_message(error: Exception) -> str | None:
    """Message of an error that the user can fix; None for one that looks like a bug.

    For the user are :class:`UserError`, Python's errors about files, imports and syntax, and those
    of mmengine's registry, or of what it builds, about a type or argument that a config names.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = own_message(error)
    # A worker that dies while it hands over a batch is only seen as a closed pipe.
    pipe_closed = (isinstance(error, (ConnectionError, EOFError))
                   and _FROM_PROCESS not in str(error)
                   and any(frame.f_code.co_filename.endswith(_LOADER) for frame in frames))
    if pipe_closed or text.startswith('DataLoader worker (pid'):
        reason = text.strip() or type(error).__name__  # an EOFError has no message
        return (f'a data-loading worker died, most likely out of memory ({reason}): lower '
                'train_dataloader.num_workers, and continue with --resume')
    if advice := scope_advice(error, frames) or argument_advice(error, frames):
        return advice
    if not isinstance(error, _FOR_THE_USER) and not _is_about_the_config(error, frames):
        return None
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    if isinstance(error, ImportError) and frames[-1].f_code.co_filename.endswith(_CONFIG):
        return str(error.__context__ or error)  # mmengine's own message lists pages of paths
    if isinstance(error, (AssertionError, ValueError)) and not isinstance(error, _FOR_THE_USER):
        return f'{type(frames[-1].f_locals["self"]).__name__}: {text}'
    # str() of a KeyError adds quotes.
    return str(error.args[0]) if isinstance(error, KeyError) else text or type(error).__name__


def own_message(error: Exception) -> str:
    """Message of an error, without the traceback that one from another process brings along.

    torch's ExceptionWrapper rebuilds such an error from its type and the text of its traceback,
    whose last line to begin with the type has the message.
    """
    text = str(error)
    if _FROM_PROCESS not in text:
        return text
    starts = rf'^(?:[\w.]+\.)?{re.escape(type(error).__name__)}(?:: |$)'
    last = [match.end() for match in re.finditer(starts, text, re.MULTILINE)][-1:]
    return text[last[0]:].strip() if last else text


def _is_about_the_config(error: Exception, frames: list[FrameType]) -> bool:
    """Whether mmengine's registry does not know a type, or the type refuses an argument."""
    in_registry = [frame.f_code.co_filename.endswith(_REGISTRY) for frame in frames]
    if not any(in_registry):
        return False
    if isinstance(error, (AssertionError, ValueError)):
        # Raised by the type's own __init__, or a parent's, and not by what that calls.
        called = takewhile(lambda frame: not frame.f_code.co_filename.endswith(_REGISTRY),
                           reversed(frames))
        origins = {(frame.f_code.co_name, id(frame.f_locals.get('self'))) for frame in called
                   if frame.f_code.co_name != 'build_iter_from_epoch'}  # mmengine's schedulers
        return bool(str(error)) and [name for name, _ in origins] == ['__init__']
    return isinstance(error, (KeyError, TypeError)) and in_registry[-1]
