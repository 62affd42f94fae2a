"""A process of a distributed run is killed: all others end, the next start resumes (promise 9)."""
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from tests.helpers.videos import make_video
from vicmae_mm.commands.run_tool import run_tool

MARK = 'VICMAE_RANK_DEATH_TEST'  # set only in the environment of a run's processes
PROMISED = 60  # seconds

CONFIG = '''
_base_ = {base!r}
train_dataloader = dict(
    batch_size=2, num_workers=1, persistent_workers=True, pin_memory=False,
    dataset=dict(data_prefix=dict(video={videos!r})))
epochs = {epochs}
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1),
                     reconstruction=dict(interval=1000))
'''


class Process(NamedTuple):
    """A running process."""

    command: str
    env: dict[str, str]
    parent: int


def processes(mark: str) -> dict[int, Process]:
    """Processes with the mark, by id."""
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            pairs = (folder / 'environ').read_bytes().split(b'\0')
            command = (folder / 'cmdline').read_text().replace('\0', ' ')
            parent = int((folder / 'stat').read_text().rpartition(') ')[2].split()[1])
        except OSError:  # ended meanwhile, or another user's
            continue
        env = dict(pair.decode(errors='replace').split('=', 1) for pair in pairs if b'=' in pair)
        if env.get(MARK) == mark:  # a zombie's environment is empty
            found[int(folder.name)] = Process(command, env, parent)
    return found


def wait(what: str, condition: Callable[[], object], seconds: float = 100.) -> float:
    """Wait for a condition; return the seconds that it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f'{what}: not within {seconds} s'
        time.sleep(0.1)
    return time.monotonic() - begin


class Run:
    """The quickstart's ViC-MAE on tiny videos, run by tools/dist_train.sh with two ranks."""

    def __init__(self, folder: Path, repo: Path) -> None:
        self.folder, self.repo, self.log = folder, repo, folder / 'out'
        self.work = folder / 'work dir'
        (folder / 'videos').mkdir(parents=True)
        for number in range(8):
            make_video(folder / 'videos' / f'{number}.mp4', num_frames=4)

    def start(self, epochs: int, *options: str) -> subprocess.Popen:
        """Start the run; its output goes to ``log``."""
        config = self.folder / 'config.py'
        config.write_text(CONFIG.format(
            base=str(self.repo / 'configs/quickstart/vicmae.py'),
            videos=str(self.folder / 'videos'), epochs=epochs))
        env = dict(os.environ, CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1',
                   PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
        with open(self.log, 'w') as log:
            return subprocess.Popen(
                ['bash', str(self.repo / 'tools/dist_train.sh'), str(config), '2', '--work-dir',
                 str(self.work), *options], cwd='/',
                env={**env, MARK: str(self.folder)}, stdout=log, stderr=subprocess.STDOUT)

    def processes(self) -> dict[int, Process]:
        """All running processes: launcher, ranks, data-loading workers, readers of samples."""
        return processes(str(self.folder))

    def rank(self, number: int) -> int:
        """Process id of a rank."""
        alive = self.processes()
        return next(pid for pid, (_, env, parent) in alive.items()
                    if env.get('RANK') == str(number) and 'RANK' not in alive[parent].env)

    def epochs_done(self) -> int:
        """Epoch of the newest checkpoint."""
        return max((int(path.stem[6:]) for path in self.work.glob('epoch_*.pth')), default=0)


@pytest.fixture
def run(tmp_path, repo) -> Iterator[Run]:
    """A run, whose remaining processes are ended after the test."""
    run = Run(tmp_path / 'a b$c', repo)
    yield run
    for pid in run.processes():
        os.kill(pid, signal.SIGKILL)


def test_all_others_end_and_the_next_start_resumes(run):
    launcher = run.start(1000)
    wait('an epoch', lambda: run.epochs_done() or launcher.poll() is not None)
    assert len(run.processes()) >= 7, run.log.read_text()[-3000:]  # 2 x (rank, worker, reader)
    begin = time.monotonic()
    os.kill(run.rank(1), signal.SIGKILL)
    assert launcher.wait(PROMISED) != 0
    wait('the end of all processes', lambda: not run.processes(), PROMISED)
    seconds = time.monotonic() - begin
    print(f'all ended {seconds:.1f} s after the rank was killed')
    assert seconds < PROMISED

    done = run.epochs_done()
    no_readers = ('--cfg-options', 'train_dataloader.dataset.decode_timeout=None')  # quicker
    assert run.start(done + 1, '--resume', *no_readers).wait(100) == 0
    log = run.log.read_text()
    assert f'epoch {done + 1}.00  ' in log  # 8 videos / two processes of batch two
    assert f'Training resumes {run.work}/epoch_{done}.pth' in log and run.epochs_done() == done + 1
    assert not run.processes()


class KillWorkerHook(Hook):
    """Kill the data-loading worker in the third iteration."""

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Kill the worker."""
        if runner.iter == 2:
            worker, = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)


def lose_a_worker(work_dir: str) -> str:
    """Train as the tools do. Returns the message with which the program ends."""
    runner = tiny_runner(Path(work_dir), [KillWorkerHook()], epochs=50, train_dataloader=dict(
        batch_size=4, num_workers=1, persistent_workers=True, dataset=FixedPairs(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate')))
    with pytest.raises(SystemExit) as ending:
        run_tool(runner.train)
    return str(ending.value.code)


def test_a_killed_data_loading_worker_ends_the_run_with_one_line(tmp_path):
    message, = run_distributed(lose_a_worker, 1, str(tmp_path))  # a process without other children
    died = r'error: a data-loading worker died, most likely out of memory \(.+\): .* --resume'
    assert re.fullmatch(died, message)
