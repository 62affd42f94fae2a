"""Run a tool, and print in one line the errors that the user can fix."""
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mmengine.config.utils import ConfigParsingError
from mmengine.logging import MMLogger

from vicmae_mm.utils.errors import UserError

# Python's own errors over files, the installation and configs are for the user wherever raised.
_FOR_THE_USER = (UserError, OSError, ImportError, SyntaxError, ConfigParsingError)
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_FROM_PROCESS = '.\nOriginal Traceback'  # written by torch's ExceptionWrapper
_DEAD_WORKER = 'DataLoader worker (pid'
_LOADER = os.path.join('torch', 'utils', 'data', 'dataloader.py')
_REGISTRY = os.path.join('mmengine', 'registry', 'build_functions.py')


def run_tool(main: Callable[[], object]) -> None:
    """Run ``main``; an error that the user can fix ends it with ``error: ...`` and status 1.

    Its traceback goes to the run's log file, if there is one yet, or to the terminal instead with
    ``VICMAE_TRACEBACK=1``. Bugs keep their traceback.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports Ctrl-C
    except Exception as error:
        # torch's handler would raise once more, at whatever line, for the next worker that dies.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        message = user_message(error)
        if message is None or os.environ.get('VICMAE_TRACEBACK') == '1':
            raise
        _log_traceback()
        rank = f' (rank {os.environ["RANK"]})' if os.environ.get('WORLD_SIZE', '1') != '1' else ''
        sys.exit(f'error{rank}: {message}')


def user_message(error: Exception) -> str | None:
    """Message of an error that the user can fix; None for one that looks like a bug.

    For the user are :class:`UserError`, errors over files, imports and the syntax of configs,
    and those over a type or argument that a config names.
    """
    is_remote = _FROM_PROCESS in str(error)
    frames = traceback.extract_tb(error.__traceback__)
    # A worker that dies while it hands over a batch is only seen as a closed pipe.
    if str(error).startswith(_DEAD_WORKER) or (
            isinstance(error, (ConnectionError, EOFError)) and not is_remote
            and any(frame.filename.endswith(_LOADER) for frame in frames)):
        reason = str(error).strip() or type(error).__name__  # an EOFError has no message
        return (f'a data-loading worker died, most likely out of memory ({reason}): lower '
                'train_dataloader.num_workers, and continue with --resume')
    if not isinstance(error, _FOR_THE_USER) and not _is_about_the_config(error, frames):
        return None
    if is_remote:
        return own_message(error)
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    if (isinstance(error, ImportError) and isinstance(error.__context__, ImportError)
            and not os.path.realpath(frames[-1].filename).startswith(_PACKAGE)):
        return str(error.__context__)  # mmengine's own message is pages of paths
    if isinstance(error, KeyError):
        return str(error.args[0])  # str(error) is in quotes
    return str(error) or type(error).__name__


def own_message(error: Exception) -> str:
    """Message of an error without the traceback of the process that it comes from.

    torch rebuilds an error of another process from its type and the text of the traceback, which
    ends in "Type: message".
    """
    text = str(error)
    if _FROM_PROCESS in text:
        return text.rpartition(f'{type(error).__name__}: ')[2].strip()
    return text


def _is_about_the_config(error: Exception, frames: traceback.StackSummary) -> bool:
    """Whether mmengine could not build a type with the arguments that the config names."""
    if not isinstance(error, (KeyError, TypeError)) or not frames:
        return False
    if frames[-1].filename.endswith(_REGISTRY):
        return True
    return (any(frame.filename.endswith(_REGISTRY) for frame in frames)
            and _is_refused_by_parent(error))


def _is_refused_by_parent(error: Exception) -> bool:
    """Whether an ``__init__`` passed an argument on to a parent class that does not know it."""
    refusing, found, _ = str(error).partition('.__init__() got an unexpected keyword argument')
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # The message names the class that refused; another object's class would be a bug of ours.
    built = trace.tb_frame.f_locals.get('self') if trace is not None else None
    return bool(found) and refusing in [kind.__qualname__ for kind in type(built).__mro__]


def _log_traceback() -> None:
    logger = MMLogger.get_current_instance()
    record = logger.makeRecord(
        logger.name, logging.ERROR, __file__, 0, traceback.format_exc(), (), None)
    # Only to the file: the terminal gets the one line.
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
