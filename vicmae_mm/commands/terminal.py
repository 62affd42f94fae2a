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
                    r'\S+ is skipped since its requires_grad=False|The prefix is not set in |'
                    # PretrainedFitHook and first_weights() say what counts of this.
                    r'The model and loaded state dict do not .*\s+missing (?!.*\bbackbone\.)|'
                    # The run report says this, too, and the number of bad files if there are any.
                    r'.*: nothing is left to train\. |bad [a-z ]+: 0 of ')
# Of an interval: values of the log file only, shorter names, numbers to be rounded
_FILE_ONLY = re.compile(
    r'(?<= )((base_lr|memory|loss_\w+|grad_norm|embedding_\w+|contrast_weight): \S+|'
    r'loss: \S+(?=.* recon: )|(recon|contrast|pair_accuracy)/[^:]+: \S+|bad_videos: 0\.0+)( +|$)|'
    r'(?<=%)  time: \S+  data_time: \S+|  data_time: \S+  time: \S+$')
_NAMES = {'data_time: ': 'data ', 'pair_accuracy: ': 'acc ', 'bad_videos: ': 'bad ', ': ': ' '}
_NUMBER = re.compile(r'(?<= )(lr |data |)(-?\d+\.\d+(?:e[+-]\d+)?)(?= |$)')
_LONG = re.compile(r'(\d+) days?, (\d+):\d+:\d+')
_PLACE = re.compile(r'Epoch\(train\) *\[(\d+)\]\[ *(\d+)/(\d+)\]')


def is_for_people(record: logging.LogRecord) -> bool:
    """Whether the terminal gets a record: a warning, a line of ours or one per interval."""
    # Not record.pathname, which is that of print_log.
    origin = next((frame.f_code.co_filename for frame, _ in traceback.walk_stack(None)
                   if not any(part in frame.f_code.co_filename for part in _LOGGING)), '')
    return not _STALE.match(record.getMessage()) and (
        record.levelno >= logging.WARNING or origin.startswith(_OURS)
        or origin.endswith(os.path.join('mmengine', 'hooks', 'logger_hook.py')))


class TerminalFormatter(logging.Formatter):
    """Messages without time and origin; the values of an interval take about 100 columns."""

    def format(self, record: logging.LogRecord) -> str:
        """The text for the terminal."""
        text = super().format(record)
        if record.levelno > logging.INFO:
            return f'{record.levelname.lower()}: {text}'
        if '\n' in text or not text.startswith(('Epoch(', 'Iter(')):
            return text
        text = _LONG.sub(r'\1d\2h', _FILE_ONLY.sub('', text))
        for name, short in _NAMES.items():
            text = text.replace(name, short)
        text = _NUMBER.sub(
            lambda found: f'{found[1]}{float(found[2]):.{2 if found[1] else 3}g}', text).rstrip()
        return _PLACE.sub(
            lambda at: f'epoch {int(at[1]) - 1 + int(at[2]) / int(at[3]):.2f}', text)


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
