"""What a list of millions of videos costs: start-up, memory, epochs, resuming, bad videos.

The list has made-up names; no video exists. So the look-up of up to 1,000 files is left out, a
pipeline makes random frames, and no frame is decoded. Everything else is as in training: the
dataset, the sampler, the workers (which read records), the ledger, and the check of a config with
--config. The index of the list goes to a temporary folder, which is empty at the first start.

  vicmae benchmark scale --entries 1e5 1e6 1e7
"""
import argparse
import logging
import os
import pickle
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from mmengine.config import Config
from torch.utils.data import DataLoader

from vicmae_mm.commands.preflight import check_config
from vicmae_mm.datasets import EpochSampler, VideoPairDataset
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .options import add_number
from .output import doing, print_machine, print_table

READ, BAD = 20_000, 1_000  # records that the workers read; bad videos added at a time
LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
_NO_LOOK_UP = patch('vicmae_mm.datasets.annotations.video_lists.find_missing',
                    return_value=([], 1))


@TRANSFORMS.register_module()
class MadeUpFrames:
    """Random frames for a file that does not exist."""

    def __call__(self, results: dict) -> dict:
        """Add two frames."""
        return dict(results, imgs=[np.random.randint(256, size=(224, 224, 3), dtype=np.uint8)
                                   for _ in range(2)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_number(parser, '--entries', [1e5, 1e6, 1e7], 'videos of a list, 1e5 or more')
    add_number(parser, '--workers', 2, 'of the data loader')
    parser.add_argument('--format', choices=('txt', 'csv'), default='txt',
                        help='"path label" lines, or a table with a header; default: txt')
    parser.add_argument('--config', default='configs/vicmae_vit-b16_k400.py',
                        help='the config that is checked; default: %(default)s')


def run(args: argparse.Namespace) -> None:
    if not all(number.is_integer() and number >= 1e5 for number in args.entries):
        raise InputError('--entries: give whole numbers of 1e5 or more.')
    if not Path('/proc/self/smaps_rollup').exists():
        raise InputError('The memory of processes is read from /proc: this needs Linux.')
    print_machine('mmengine')
    columns = []
    for entries in map(int, args.entries):
        with doing(f'{entries:,} entries'), tempfile.TemporaryDirectory() as folder:
            columns.append([f'{entries:,}', *_measure(Path(folder), entries, args)])
    print('Seconds are of the wall clock (and of the CPU).')
    names = ('entries', 'list, MB', 'index, MB', 'first start, s', '... memory, at most, MB',
             'second start, s', '... memory, at most, MB', 'pickled dataset, kB',
             'first index of an epoch, ms', '... in its middle, ms',
             f'private memory, with {args.workers} worker(s), MB', 'a bad video, CPU us',
             '... after 19,000 others, CPU us', 'resuming with 20,000 bad videos, s',
             'check_config, s')
    header, *rows = zip(names, *columns, strict=True)
    print_table(header, rows)


def _measure(folder: Path, entries: int, args: argparse.Namespace) -> list[str]:
    file = _write_list(folder, entries, args.format)
    measured = [result for function, *others in (
        (_start, ), (_start, ), (_epoch, args.workers), (_ledger, ), (_check, args.config))
        for result in _in_new_process(function, file, *others)]
    kept = sum(path.stat().st_size for path in Path(folder, 'vicmae_mm/lists').glob('*'))
    return [_mb(os.path.getsize(file)), _mb(kept), *measured]


def _write_list(folder: Path, entries: int, ending: str) -> str:
    """A list with names as those of Kinetics, 600 in each folder."""
    draw, mark = random.Random(0), ',' if ending == 'csv' else ' '
    os.environ['VICMAE_MM_CACHE'] = str(folder)
    with open(folder / f'list.{ending}', 'w') as file:
        file.write(f'path{mark}label\n' * (ending == 'csv'))
        for number in range(entries):
            start = draw.randrange(300)
            file.write(f'class_{number // 600:05d}/{"".join(draw.choices(LETTERS, k=11))}_'
                       f'{start:06d}_{start + 10:06d}.mp4{mark}{number // 600 % 700}\n')
    return file.name


def _in_new_process(function: Callable[..., tuple], *args: Any) -> tuple:
    with ProcessPoolExecutor(1, get_context('spawn'), initializer=logging.disable) as pool:
        return pool.submit(function, *args).result()


def _dataset(file: str, **kwargs: Any) -> VideoPairDataset:
    with _NO_LOOK_UP:
        return VideoPairDataset(ann_file=file, data_prefix=dict(video='/data/videos'),
                                decode_timeout=None, max_bad_share=1., **kwargs)


def _start(file: str) -> tuple[str, str]:
    """Seconds until the dataset is there, and by how many MB this process grew at most."""
    Path('/proc/self/clear_refs').write_text('5')  # the peak is the present size from now on
    before, begin = _kilobytes('status', 'VmHWM'), _now()
    _dataset(file)
    return _since(begin), _mb(1024 * (_kilobytes('status', 'VmHWM') - before))


def _epoch(file: str, workers: int) -> tuple[str, ...]:
    """Bytes to pickle; time to an index; private memory of all processes while they read."""
    few = range(100_000)
    without = _private_while_read(few, EpochSampler(few, seed=0), workers)
    dataset = _dataset(file)
    sampler = EpochSampler(dataset, seed=0)
    times: list[str] = []
    for position in (0, len(dataset) // 2):
        sampler.set_epoch(len(times) + 1)
        sampler.start_at(position)
        begin = time.perf_counter()
        next(iter(sampler))
        times.append(f'{1000 * (time.perf_counter() - begin):.1f}')
    sampler.start_at(0)
    private = _private_while_read(dataset, sampler, workers) - without
    return f'{len(pickle.dumps(dataset)) / 1000:.1f}', *times, _mb(1024 * private)


def _private_while_read(dataset: Any, sampler: EpochSampler, workers: int) -> int:
    """Private memory of this process and the workers of a loader, kB."""
    warnings.simplefilter('ignore')  # more workers than cores
    loader = DataLoader(dataset, 256, sampler=sampler, num_workers=workers, collate_fn=len)
    batches: Any = iter(loader)
    for _ in range(READ // 256):
        next(batches)
    processes = ['self', *(worker.pid for worker in batches._workers)]
    return sum(_kilobytes('smaps_rollup', 'Private', process) for process in processes)


def _ledger(file: str) -> tuple[str, ...]:
    """Microseconds per bad video, for the first and for many; seconds of a resumed run."""
    dataset = _dataset(file)
    ledger = f'{file}.jsonl'
    dataset.share_bad_videos(ledger)
    names = (dataset.data_list[i]['filename'] for i in range(len(dataset)))
    times = []
    for count in (BAD, 18 * BAD, BAD):
        paths = [path for path, _ in zip(names, range(count), strict=False)]
        begin = time.process_time()
        for path in paths:
            dataset.bad_videos.add(path, 'made up')
            dataset.bad_videos.check(len(dataset))
        times.append(f'{1e6 * (time.process_time() - begin) / count:.0f}')
    again, start = _dataset(file), _now()
    again.share_bad_videos(ledger)
    return times[0], times[2], _since(start)


def _check(file: str, config: str) -> tuple[str]:
    """Seconds of the check of a config that reads the list."""
    cfg = Config.fromfile(config)
    cfg.work_dir = f'{file}.work_dir'
    cfg.train_dataloader.dataset.update(
        ann_file=file, data_root='', data_prefix=dict(video='/data/videos'), decode_timeout=None,
        pipeline=[dict(type='vicmae_mm.MadeUpFrames'), dict(type='vicmae_mm.PackFrames')])
    with _NO_LOOK_UP:
        check_config(cfg)  # not measured: what it imports, as training does
        begin = _now()
        findings = check_config(cfg)
    if findings.errors:
        raise InputError(f'{config}: {findings.errors}')
    return _since(begin),


def _now() -> tuple[float, float]:
    return time.perf_counter(), sum(os.times()[:4])  # with child processes that have ended


def _since(begin: tuple[float, float]) -> str:
    wall, cpu = (now - then for now, then in zip(_now(), begin, strict=True))
    return f'{wall:.2f} ({cpu:.2f})'


def _kilobytes(file: str, name: str, process: int | str = 'self') -> int:
    lines = Path(f'/proc/{process}/{file}').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name))


def _mb(size: float) -> str:
    return f'{size / 1e6:,.1f}'
