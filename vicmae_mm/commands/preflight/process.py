"""Makes a forked process one of several training processes, on the CPU, that cannot write."""
import logging
import os
import random
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import mmengine
import mmengine.device.utils
import mmengine.model.base_module
import mmengine.model.weight_init
import numpy as np
import torch
from mmengine.logging import MMLogger

from .shapes import needs_values

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {'os.mkdir', 'os.remove', 'os.rename', 'os.rmdir', 'os.link', 'os.symlink',
            'os.truncate', 'shutil.rmtree', 'shutil.move', 'shutil.copyfile'}


class WriteRefusedError(OSError):
    """A check wanted to write into a folder of the run."""


def become_training_process(processes: int) -> None:
    """Prepare this process, which must not do anything else.

    It is rank 0 of a process group whose collectives answer at once, as if every process had the
    same tensors. So samplers, gathers and BatchNorm see the number of processes of the run.
    """
    warnings.simplefilter('ignore')
    # mmengine logs to the logger that was created last; this one prints nothing.
    logger = MMLogger.get_instance('config_check')
    logger.handlers = [logging.NullHandler()]
    logging.getLogger('torch._subclasses').setLevel(logging.CRITICAL)  # its errors are raised, too
    torch.set_num_threads(1)  # fork does not copy the threads of torch's pool
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    os.environ.setdefault('LOCAL_RANK', '0')
    mmengine.device.utils.DEVICE = 'cpu'  # CUDA does not work in a forked process
    mmengine.mkdir_or_exist = lambda *args, **kwargs: None
    # It compares means of the weights, for a log, and weights have no values here.
    for module in (mmengine.model.base_module, mmengine.model.weight_init):
        module.update_init_info = lambda *args, **kwargs: None
    if processes > 1:
        from torch.testing._internal.distributed.fake_pg import FakeStore
        torch.distributed.init_process_group(
            'fake', rank=0, world_size=processes, store=FakeStore())


def forbid_writing(folders: Iterable[str]) -> None:
    """From now on, changing anything in ``folders`` raises :class:`WriteRefusedError`.

    Hooks run as in training, and some of them remove files from the work dir or lock it.
    """
    roots = tuple(os.path.realpath(folder) for folder in folders)

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == 'open' and args[2] & _WRITING):
            for path in args[:1 if event == 'open' else 2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    real = os.path.realpath(os.fsdecode(path))
                    if any(real == root or real.startswith(root + os.sep) for root in roots):
                        raise WriteRefusedError(f'{event} {real}')

    sys.addaudithook(refuse)


@contextmanager
def as_last_process() -> Iterator[None]:
    """Be the process with the highest rank, whose share of the samples may be smaller."""
    rank = torch.distributed.get_rank
    torch.distributed.get_rank = lambda group=None: torch.distributed.get_world_size(group) - 1
    try:
        yield
    finally:
        torch.distributed.get_rank = rank


def only_in_check(error: Exception, in_hook: bool = False) -> bool:
    """Whether an error is due to tensors without values, or to writing that is forbidden here.

    What torch says to a hook may be due to the former.
    """
    place = traceback.extract_tb(error.__traceback__)[-1].filename
    if in_hook and f'{os.sep}torch{os.sep}' in place:
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WriteRefusedError) or needs_values(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
