"""What a run prints: its log file gets everything, the terminal what a person reads."""
import logging
import os
import re
import traceback
import warnings
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .launcher import is_first_process

_OURS = str(Path(__file__).parents[1])
_LOGGING = (__file__, os.path.dirname(logging.__file__), os.path.join('mmengine', 'logging'))
# mmengine's about its own code, and about parameters that are constant by design
_STALE = re.compile('"FileClient" will be deprecated|"HardDiskBackend" is the alias|Exp name: |'
                    r'\S+ is skipped since its requires_grad=False')
_VALUE = re.compile(r'(\S+): (.+?)(?=\s+\S+: |\s*$)')
_FILE_ONLY = re.compile(r'base_lr|loss_(recon|contrast)|embedding_|contrast_weight|'
                        r'bad_videos: 0\.0+$')
# Names and formats of the last values, in their order
_LAST = dict(pair_accuracy=('pairs', '.0%'), lr=('lr', '.1e'), time=('time', '.3g'),
             data_time=('data', '.2g'), memory=('MB', '.0f'))


def is_for_people(record: logging.LogRecord) -> bool:
    """Whether the terminal gets a record: a warning, a line of ours or one per interval."""
    # Not record.pathname, which is that of print_log.
    origin = next((frame.f_code.co_filename for frame, _ in traceback.walk_stack(None)
                   if not any(part in frame.f_code.co_filename for part in _LOGGING)), '')
    return not _STALE.match(record.getMessage()) and (
        record.levelno >= logging.WARNING or origin.startswith(_OURS)
        or origin.endswith(os.path.join('mmengine', 'hooks', 'logger_hook.py')))


class TerminalFormatter(logging.Formatter):
    """Messages without time and origin; the values of an interval are cut to about 120 columns."""

    def format(self, record: logging.LogRecord) -> str:
        """The text for the terminal."""
        text = super().format(record)
        if record.levelno > logging.INFO:
            return f'{record.levelname.lower()}: {text}'
        values = dict(_VALUE.findall(text))
        if '\n' in text or not values or not text.startswith(('Epoch(', 'Iter(')):
            return text
        values.update({key: values.pop(key) for key in _LAST if key in values})
        return '  '.join([' '.join(text.partition(']  ')[0].split()) + ']', *(
            _short(*item) for item in values.items() if not _FILE_ONLY.match(': '.join(item)))])


def _short(key: str, value: str) -> str:
    name, form = _LAST.get(key, (key, '.4g'))
    is_number = re.fullmatch(r'-?\d[\d.e+-]*', value)
    return f'{name} {float(value):{form}}' if is_number else f'{name} {value}'


def build_tool_runner(cfg: Config, level: int = logging.INFO) -> Runner:
    """Build the runner of a config, which prints what :func:`is_for_people` from a level on.

    For DEBUG it prints all that its log file gets.
    """
    if level <= logging.DEBUG:
        return RUNNERS.build(cfg)
    warnings.filterwarnings('ignore', 'Setting (OMP|MKL)_NUM_THREADS')  # mmengine's own default
    if not is_first_process(cfg.get('launcher', 'none')):
        warnings.simplefilter('ignore')
    kind: Any = RUNNERS.get(cfg.get('runner_type', 'Runner'))

    def build_logger(self: Any, *args: Any, **kwargs: Any) -> MMLogger:
        logger = kind.build_logger(self, *args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(max(handler.level, level))
                handler.addFilter(is_for_people)
                handler.setFormatter(TerminalFormatter())
        return logger

    quiet: Any = type(kind.__name__, (kind, ), dict(build_logger=build_logger))
    return quiet.from_cfg(cfg)
