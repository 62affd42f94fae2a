"""Running a tool: errors that the user can fix are printed in one line."""
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mmengine.config.utils import ConfigParsingError
from mmengine.logging import MMLogger

from vicmae_mm.checkpoints.safety import UnsafeCheckpointError

# Mended by the user wherever they come from: files, installation, config, checkpoint.
_USERS = (OSError, ImportError, SyntaxError, ConfigParsingError, UnsafeCheckpointError)
_USERS_NAMES = {'FileNotFoundError', 'PermissionError', *(kind.__name__ for kind in _USERS)}
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_FROM_PROCESS = '.\nOriginal Traceback'  # torch's ExceptionWrapper: a loader's worker, a reader
_DEAD_WORKER = 'DataLoader worker (pid'
_LOADER = os.path.join('torch', 'utils', 'data', 'dataloader.py')
_BUILDING = os.path.join('mmengine', 'registry', 'build_functions.py')


def run_tool(main: Callable[[], object]) -> None:
    """Run a tool; end with ``error: ...`` and exit status 1 over what the user can mend.

    Bugs keep their traceback. That of a one-line error goes to the run's log file, if
    there is one yet, and to the terminal instead with ``VICMAE_TRACEBACK=1``.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports Ctrl-C
    except Exception as error:
        # torch's handler raises, in whatever line the program is, that a worker has died
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words = user_message(error)
        if words is None or os.environ.get('VICMAE_TRACEBACK') == '1':
            raise
        _log_traceback()
        rank = f' (rank {os.environ["RANK"]})' if os.environ.get('WORLD_SIZE', '1') != '1' else ''
        sys.exit(f'error{rank}: {words}')


def user_message(error: Exception) -> str | None:
    """Message of an error that the user can mend; None for one that looks like a bug.

    For the user are errors over files, imports, configs and checkpoints, those that our code
    raises on purpose, and those over a type or argument that a config names.
    """
    if _FROM_PROCESS in str(error):
        return _words_from_process(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    if str(error).startswith(_DEAD_WORKER) or (  # or it died while it handed over a batch
            isinstance(error, (ConnectionError, EOFError))
            and any(frame.filename.endswith(_LOADER) for frame in frames)):
        said = str(error).strip() or type(error).__name__  # an EOFError says nothing
        return (f'a data-loading worker has died ({said}), mostly because the machine '
                'ran out of memory: lower train_dataloader.num_workers, and go on with '
                '--resume')
    name, last = type(error).__name__, frames[-1]
    if (not isinstance(error, _USERS) and not _on_purpose(name, last.filename, last.line or '')
            and not _passed_to_parent(error, frames)):
        return None
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    if (isinstance(error, ImportError) and isinstance(error.__context__, ImportError)
            and not os.path.realpath(last.filename).startswith(_PACKAGE)):
        return str(error.__context__)  # mmengine wraps it in pages of paths
    if isinstance(error, KeyError):
        return str(error.args[0])  # str(error) is in quotes
    return str(error) or name


def _words_from_process(text: str) -> str | None:
    """The same for an error from another process, which arrives as the text of its traceback."""
    name = text.split()[1]  # "Caught NAME in DataLoader worker process ..."
    raised = _raised(text)
    if raised is None:
        return None
    frames = re.findall(r'^ +File "(.+?)", line \d+, in .+\n +(.*)$', text[:raised.start()], re.M)
    if name in _USERS_NAMES or (frames and _on_purpose(name, *frames[-1])):
        return text[raised.end():].strip()
    return None


def own_message(error: Exception) -> str:
    """Message of an error, without the traceback that one from another process brings along."""
    text = str(error)
    raised = _raised(text) if _FROM_PROCESS in text else None
    return text if raised is None else text[raised.end():].strip()


def _raised(text: str) -> re.Match | None:
    """Where the last "NAME: " of a traceback's text is."""
    name = re.escape(text.split()[1])
    found = list(re.finditer(rf'^(?:[\w.]+\.)?{name}(?:: |$)', text, re.MULTILINE))
    return found[-1] if found else None


def _on_purpose(name: str, file: str, line: str) -> bool:
    if file.endswith(_BUILDING):
        return name in ('KeyError', 'TypeError')
    tool = getattr(sys.modules['__main__'], '__file__', None)
    ours = os.path.realpath(file).startswith(_PACKAGE) or file == tool
    return ours and line.startswith('raise ')


def _passed_to_parent(error: Exception, frames: traceback.StackSummary) -> bool:
    """Whether a class handed an argument of the config on to its parent, which has no such one."""
    return (isinstance(error, TypeError) and 'unexpected keyword argument' in str(error)
            and (frames[-1].line or '').startswith('super(') and frames[-1].name == '__init__'
            and any(frame.filename.endswith(_BUILDING) for frame in frames))


def _log_traceback() -> None:
    logger = MMLogger.get_current_instance()
    record = logger.makeRecord(
        logger.name, logging.ERROR, __file__, 0, traceback.format_exc(), (), None)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
