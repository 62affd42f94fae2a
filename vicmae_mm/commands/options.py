"""What train.py and test.py share: options, and errors in one line."""
import argparse
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from vicmae_mm.checkpoints.safety import UnsafeCheckpointError, trust
from vicmae_mm.utils.errors import InputError

# Mended by the user wherever they come from: files, installation, config, checkpoint.
_USERS = (OSError, ImportError, SyntaxError, ConfigParsingError, UnsafeCheckpointError)
_USERS_NAMES = {'FileNotFoundError', 'PermissionError', *(kind.__name__ for kind in _USERS)}
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_FROM_PROCESS = '.\nOriginal Traceback'  # torch's ExceptionWrapper: a loader's worker, a reader
_DEAD_WORKER = 'DataLoader worker (pid'
_LOADER = os.path.join('torch', 'utils', 'data', 'dataloader.py')
_BUILDING = os.path.join('mmengine', 'registry', 'build_functions.py')


class KeepSpaces(DictAction):
    """mmengine's action, but a value that is no list keeps its spaces, as paths need."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        bare = val.strip('\'"')
        if ',' in bare or bare[:1] in ('(', '['):
            return DictAction._parse_iterable(val)
        return DictAction._parse_int_float_bool(bare)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add settings; without a "=", end with the usage."""
        for value in values or []:
            if '=' not in value:
                parser.error(f'{option_string} takes KEY=VALUE, not {value!r}')
        super().__call__(parser, namespace, values, option_string)


def check_epoch(runner: Runner) -> None:
    """Refuse an epoch without a batch before mmengine's schedulers fail over it.

    Raises:
        ValueError: If the dataset is smaller than a batch and incomplete ones are dropped.
    """
    loader = runner.train_loop.dataloader
    if len(loader) == 0:
        raise InputError(
            f'{len(loader.dataset)} samples over {get_world_size()} process(es) make no whole '
            f'batch of {loader.batch_size}: lower train_dataloader.batch_size.')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what training and testing both know; names as in mmpretrain's tools."""
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: the one in the config, '
        'else work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepSpaces, metavar='KEY=VALUE',
        help='settings to replace in the config, e.g. train_dataloader.batch_size=64 '
        'model.contrast_head.temperature=0.2 train_cfg.max_epochs=100; lists as KEY="[1,2]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='what started the processes; set by dist_train.sh and slurm_train.sh')
    parser.add_argument(
        '--no-pin-memory', action='store_true', help="do not pin the batches' memory")
    parser.add_argument(
        '--no-persistent-workers', action='store_true',
        help='start new data-loading workers every epoch')
    add_trust(parser)
    # torch.distributed.launch passes it; torchrun sets the variable.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, which works as it is parsed."""
    parser.add_argument(
        '--trust-checkpoint', action='append', type=_trusted_file, metavar='FILE',
        help='execute what code this very file holds, for a checkpoint whose maker you trust; '
        'may be given several times. Without it checkpoints are read as data')


def _trusted_file(name: str) -> str:
    try:
        trust(name)
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, which must be one that torch can use here."""
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu', type=_usable_device,
        help='default: %(default)s')


def _usable_device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f'{name!r} can not be used: {error}') from error
    return name


def merge_options(cfg: Config, args: argparse.Namespace, loaders: list[str]) -> None:
    """Write the options of :func:`add_options` into the config.

    Data loaders get the defaults of the library whose scope the config names, so that a
    config means the same under that library's own tools.

    Args:
        cfg (Config): Changed in place.
        args (argparse.Namespace): From a parser with :func:`add_options` and ``config``.
        loaders (list[str]): Names of the data loaders in use.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join(
        'work_dirs', Path(args.config).stem)
    found = [name for name in loaders if cfg.get(name) is not None]
    if cfg.get('default_scope') == 'mmpretrain':
        defaults = dict(
            pin_memory=True, persistent_workers=True, collate_fn=dict(type='default_collate'))
        for name in found:
            cfg[name] = ConfigDict({**defaults, **cfg[name]})
    cfg.merge_from_dict(args.cfg_options or {})
    for name in found:
        if args.no_pin_memory or get_device() == 'cpu':
            cfg[name].pin_memory = False  # torch warns about it where there is no accelerator
        if args.no_persistent_workers or not cfg[name].get('num_workers'):
            cfg[name].persistent_workers = False  # torch refuses them without workers


def run(main: Callable[[], object]) -> None:
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


def own_words(error: Exception) -> str:
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
