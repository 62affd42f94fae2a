"""Shared fixtures: one default scope a test, GPU tests skipped without a GPU."""
import copy
import gc
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import vicmae_mm  # noqa: F401  (compat first)
from tests.helpers.distributed import PRELOAD, unformatted_configs
from vicmae_mm.engine.hooks import curves_hook

REPO = Path(__file__).resolve().parents[1]

# What a shell script starts in the background ignores Ctrl-C, and so do the tools that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


def pytest_collection_finish() -> None:
    """Leave what is imported out of garbage collection, which mmengine does for each dataset."""
    gc.freeze()


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """Build unqualified types as pre-training configs do."""
    # A run of the same config and second would not get a scope of its own (mmengine's Runner).
    DefaultScope._instance_dict.clear()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(autouse=True)
def open_loggers():
    """Forget loggers whose files are closed (logging.shutdown) or removed.

    mmengine writes to the last logger; a run of the same second would get one of an earlier test.
    """
    for name, logger in [*MMLogger._instance_dict.items()]:
        if any(getattr(handler, 'stream', '') is None
               or not os.path.exists(getattr(handler, 'baseFilename', '.'))
               for handler in logger.handlers):
            del MMLogger._instance_dict[name]


@pytest.fixture(autouse=True)
def visualizers_with_folders():
    """Forget visualizers whose folders are removed: a run of the same second would get them."""
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        for name, visualizer in [*kind._instance_dict.items()]:
            if not all(os.path.isdir(getattr(backend, '_save_dir', '.'))
                       for backend in visualizer._vis_backends.values()):
                del kind._instance_dict[name]


@pytest.fixture(autouse=True, scope='session')
def own_cache_folder(tmp_path_factory):
    """Keep the cache of the user, and tests apart from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('VICMAE_MM_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(autouse=True, scope='session')
def short_wait_for_workers():
    """Workers that do not end after an error in another get 1 s instead of 5, each.

    So do those whose parent has died.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (torch.utils.data._utils, torch.utils.data._utils.worker):
            patch.setattr(module, 'MP_STATUS_CHECK_INTERVAL', 1.)
        yield


@pytest.fixture(autouse=True, scope='session')
def plain_config_texts():
    """Spare every run the time of laying out its config's text."""
    with unformatted_configs():
        yield


@pytest.fixture(autouse=True, scope='session')
def no_curves():
    """Spare every run the picture of its curves, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves_hook, 'plot_curves', lambda *_: None)
        yield


@pytest.fixture(autouse=True, scope='session')
def configs_read_once():
    """Read each file of configs/ once, which takes 30 ms: tests do it hundreds of times."""
    stock, known = Config._file2dict, {}

    def read(filename, *args, **kwargs):
        key = (os.path.abspath(filename), args, *kwargs.items())
        if not key[0].startswith(f'{REPO}/configs/'):
            return stock(filename, *args, **kwargs)
        if key not in known:
            known[key] = stock(filename, *args, **kwargs)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(read))
        yield


@pytest.fixture(autouse=True, scope='session')
def one_fork_server(own_cache_folder):
    """Whatever starts processes first, the server has imported what any of them needs.

    Started later, in a folder that a test has changed to, it might find another ``tests``: a
    package of mmpretrain's requirements installs one.
    """
    multiprocessing.get_context('forkserver').set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseContext, 'set_forkserver_preload', lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Give every test the same randomness."""
    torch.manual_seed(0)


@pytest.fixture
def repo() -> Path:
    """Root of the checkout."""
    return REPO


@pytest.fixture
def real_data() -> Path:
    """Folder of real clips, named by ``VICMAE_TEST_DATA``."""
    folder = os.environ.get('VICMAE_TEST_DATA')
    if not folder:
        pytest.skip('set VICMAE_TEST_DATA to a folder with videos.txt and videos/')
    return Path(folder)
