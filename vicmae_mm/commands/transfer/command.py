"""What tools/linear_transfer.py and tools/knn.py share: options, and the round of datasets."""
from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.options import add_device
from vicmae_mm.utils.errors import InputError

from .cached_features import FeatureCache, Features, checkpoint_key
from .images import DatasetProblem, Images
from .protocol import Splits, hold_out
from .results import Result, as_markdown, read_results, write_results
from .sources import Source, open_class_folders, open_task
from .tasks import TASKS, choose_tasks

_CONSOLE = Console(stderr=True)


@dataclass(frozen=True)
class Method:
    """A way to measure features.

    Args:
        name: Of the way and its settings, for tables and files.
        steps: How often ``measure`` calls the callback that it is given.
        measure: Returns the score in percent and what else to tell.
    """

    name: str
    steps: int
    measure: Callable[[Source, Splits, Callable[[int], object]], tuple[float, str]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both tools."""
    parser.add_argument('checkpoint', help='a pre-trained or fine-tuned checkpoint of any family '
                        'that tools/convert_checkpoint.py knows')
    parser.add_argument(
        '--config', help='its config; by default the one in the work dir of the checkpoint')
    parser.add_argument(
        '--datasets', nargs='+', metavar='NAME', help='"all" or names of Table 3, such as Food DTD '
        '(default: all, or none if there is a --folder)')
    parser.add_argument('--data-root', default='data', help='folder of the datasets, each as '
                        'docs/linear_transfer.md shows (default: %(default)s)')
    parser.add_argument(
        '--folder', action='append', default=[], type=_named_folder, metavar='NAME=PATH',
        help='images of your own: PATH/{train,test}/<class>/<image>, and val if there is one')
    parser.add_argument('--level', choices=['cls', 'avg'], default='cls', help='class token, or '
                        'mean of the patch tokens (default: %(default)s)')
    add_device(parser)
    parser.add_argument('--batch-size', type=int, default=256, help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=4, help='processes that read images '
                        '(default: %(default)s)')
    parser.add_argument('--cache', type=Path, default='work_dirs/transfer/features',
                        help='folder where features are kept (default: %(default)s)')
    parser.add_argument('--out-dir', type=Path, help='folder for the tables '
                        '(default: work_dirs/transfer/RUN_CHECKPOINT)')


def measure_all(args: argparse.Namespace, method: Method) -> None:
    """Measure every dataset asked for; print and save the table.

    Those that are missing or broken are told and left out; the process then ends with status 1
    when all others are done. A dataset is not measured again if nothing has changed.

    Args:
        args: From a parser with :func:`add_options`.
        method: What to measure.

    Raises:
        ValueError: If an option is out of range, a dataset unknown or a name taken.
    """
    if args.batch_size < 1 or args.workers < 0:
        raise InputError(f'--batch-size {args.batch_size} and --workers {args.workers} should be '
                         'at least 1 and 0.')
    sources = _choose_sources(args)
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    key = checkpoint_key(args.checkpoint, args.config)
    cache = FeatureCache(
        args.cache, encoder, key, args.level, args.batch_size, args.workers)
    path = Path(args.checkpoint).resolve()
    out = args.out_dir or Path('work_dirs/transfer', f'{path.parent.name}_{path.stem}')
    out.mkdir(parents=True, exist_ok=True)  # now rather than when the first is measured
    table = out / f'{method.name}_{args.level}.json'
    title = f'{method.name}, features {args.level} of {args.checkpoint}'
    results, problems = read_results(table, key), {}
    for name, open_source in sources.items():
        try:
            results[name] = _measure_one(
                open_source(encoder.image_size), cache, method, results.get(name))
        except DatasetProblem as error:
            results.pop(name, None)
            problems[name] = str(error)
            _say(f'{name}: {error}')
        write_results(table, key, args.checkpoint, args.level, list(results.values()), problems)
        table.with_suffix('.md').write_text(
            as_markdown(title, list(results.values()), problems), encoding='utf-8')
    print(as_markdown(title, list(results.values()), problems))
    _say(f'Wrote {table.with_suffix(".md")} and {table}')
    if problems:
        sys.exit(f'error: {len(problems)} of {len(sources)} datasets not measured: '
                 f'{", ".join(problems)}. The reasons stand above.')


def _choose_sources(args: argparse.Namespace) -> dict[str, Callable[[int], Source]]:
    """What opens each dataset for a size of images."""
    names = args.datasets or ([] if args.folder else ['all'])
    sources: dict[str, Callable[[int], Source]] = {
        task.name: partial(open_task, task, args.data_root) for task in choose_tasks(names)}
    taken = {task.name.lower() for task in TASKS}
    for name, folder in args.folder:
        if name.lower() in taken:
            raise InputError(f'--folder {name}={folder}: the name {name} is taken by a dataset of '
                             'Table 3 or another folder. Choose another.')
        taken.add(name.lower())
        sources[name] = partial(open_class_folders, name, folder)
    return sources


def _measure_one(source: Source, cache: FeatureCache, method: Method,
                 before: Result | None) -> Result:
    images = dict(train=source.train, val=source.val, test=source.test)
    files = [(cache.path(f'{source.name}_{split}', part), part)
             for split, part in images.items() if part is not None]
    names = [path.name for path, _ in files]
    key = hashlib.sha256('\n'.join([method.name, *names]).encode()).hexdigest()
    if before is not None and before.key == key:
        _say(f'{source.name}: {before.score:.2f}, as measured before')
        return before
    parts = [_features(path, part, cache) for path, part in files]
    train, val, test = parts if len(parts) == 3 else (*hold_out(parts[0]), parts[1])
    with _progress(f'{source.name}: {method.name}', method.steps) as progress:
        score, details = method.measure(source, Splits(train, val, test), progress)
    _say(f'{source.name}: {score:.2f} ({source.metric})')
    remarks = '; '.join(filter(None, (details, source.remark)))
    return Result(source.name, source.metric, score, key, remarks)


def _features(path: Path, images: Images, cache: FeatureCache) -> Features:
    with _progress(f'{path.stem}: features', len(images)) as progress:
        return cache.get(path, images, progress)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar in a terminal; nothing in a file, where each dataset has its line."""
    with Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                  TimeRemainingColumn(), console=_CONSOLE, transient=True,
                  disable=not _CONSOLE.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _say(text: str) -> None:
    _CONSOLE.print(text, highlight=False, markup=False, soft_wrap=True)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition('=')
    if not (name and equals and path) or '/' in name:
        raise argparse.ArgumentTypeError(f'{text!r} should be NAME=PATH')
    return name, Path(path).expanduser()
