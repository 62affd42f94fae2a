"""What tools/linear_transfer.py and tools/knn.py share: options, and the loop over datasets."""
import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.options import add_checkpoint, add_device, between, positive
from vicmae_mm.commands.result_files import results_folder
from vicmae_mm.evaluation.labelled_sources import Source, open_labelled
from vicmae_mm.evaluation.protocol import MAP_11, Splits, hold_out
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress, say

from .cached_features import FeatureCache, checkpoint_key
from .results import Result, read_results, write_predictions, write_results
from .tasks import TASKS, choose_tasks, open_task


@dataclass(frozen=True)
class Method:
    """A way to measure features; ``name`` includes its settings.

    ``measure`` reports ``steps`` steps to the callback passed to it, and returns the score in
    percent, details for the table, and shares of the classes, votes or probabilities (N, K).
    """

    name: str
    steps: int
    measure: Callable[[Source, Splits, Callable[[int], object]], tuple[float, str, Tensor]]


def add_transfer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both tools."""
    add_checkpoint(parser)
    parser.add_argument(
        '--datasets', nargs='+', metavar='NAME', help='"all" or names from Table 3, such as Food '
        'DTD (default: all, or none with --folder)')
    parser.add_argument('--data-root', default='data', help='folder of the datasets; for their '
                        'layout see docs/linear_transfer.md (default: %(default)s)')
    parser.add_argument(
        '--folder', action='append', default=[], type=_named_folder, metavar='NAME=PATH',
        help='your own images: PATH/{train,test}/<class>/<image>, and optionally PATH/val')
    parser.add_argument('--level', choices=['cls', 'avg'], default='cls', help='class token, or '
                        'mean of the patch tokens (default: %(default)s)')
    add_device(parser)
    parser.add_argument('--batch-size', type=positive, default=256, help='default: %(default)s')
    parser.add_argument('--workers', type=between(int, 0, 128), default=4,
                        help='processes that read images (default: %(default)s)')
    parser.add_argument('--cache', type=Path, default='work_dirs/transfer/features',
                        help='folder where features are kept (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='folder for tables and predictions '
                        '(default: work_dirs/transfer/RUN_CHECKPOINT)')


def measure_all(args: argparse.Namespace, method: Method) -> None:
    """Measure the requested datasets; print and save the table.

    Missing and broken datasets are reported and skipped; the process then exits with status 1
    after the others. A dataset is not measured again if nothing has changed. A ValueError is raised
    if a dataset is unknown or a name used twice.
    """
    sources = _choose_sources(args)
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    encoder.check_level(args.level)
    key = checkpoint_key(args.checkpoint, args.config)
    cache = FeatureCache(args.cache, encoder, key, args.level, args.batch_size, args.workers)
    out = args.out or results_folder('transfer', args.checkpoint)
    # Before the first dataset is encoded, which may take hours.
    out.mkdir(parents=True, exist_ok=True)
    table = out / f'{method.name}_{args.level}.json'
    results, problems = read_results(table, key), {}
    for name, open_source in sources.items():
        try:
            source = open_source(encoder.image_size, encoder.num_frames)
            results[name] = _measure_one(source, cache, method, results.get(name),
                                         table.with_name(f'{table.stem}_{name}.csv'))
        except (InputError, FileNotFoundError) as error:
            results.pop(name, None)
            problems[name] = str(error)
            say(f'{name}: {error}')
        # After every dataset, so that an interrupted run keeps its results.
        markdown = write_results(
            table, f'{method.name}, features {args.level} of {args.checkpoint}',
            dict(checkpoint=args.checkpoint, checkpoint_key=key, level=args.level),
            [*results.values()], problems)
    print(markdown)
    say(f'Wrote {table.with_suffix(".md")} and {table}')
    if problems:
        sys.exit(f'error: {len(problems)} of {len(sources)} datasets not measured: '
                 f'{", ".join(problems)}. See the reasons above.')


def _choose_sources(args: argparse.Namespace) -> dict[str, Callable[[Any, Any], Source]]:
    """Functions that open each dataset for a size of images and length of clips, by name."""
    names = args.datasets or ([] if args.folder else ['all'])
    sources: dict[str, Callable[[Any, Any], Source]] = {
        task.name: partial(open_task, task, args.data_root) for task in choose_tasks(names)}
    # Also those that are not measured: the table would show the paper's numbers for a folder.
    taken = {task.name.lower() for task in TASKS}
    for name, folder in args.folder:
        if name.lower() in taken:
            raise InputError(f'--folder {name}={folder}: the name {name} is already used by a '
                             'dataset of Table 3 or another --folder. Choose another name.')
        taken.add(name.lower())
        sources[name] = partial(open_labelled, name, folder)
    return sources


def _measure_one(source: Source, cache: FeatureCache, method: Method,
                 before: Result | None, predictions: Path) -> Result:
    images = dict(train=source.train, val=source.val, test=source.test)
    files = [(cache.path(f'{source.name}_{split}', part), part)
             for split, part in images.items() if part is not None]
    # The names contain hashes of everything that the features depend on.
    names = [path.name for path, _ in files]
    key = hashlib.sha256(os.fsencode('\n'.join([method.name, *names]))).hexdigest()
    if before is not None and before.key == key and (predictions.exists() or not before.by_class):
        say(f'{source.name}: {before.score:.2f}, as measured before')
        return before
    parts = [cache.get(path, part) for path, part in files]
    train, val, test = parts if len(parts) == 3 else (*hold_out(parts[0]), parts[1])
    with Progress(f'{source.name}: {method.name}', method.steps, transient=True) as progress:
        score, details, shares = method.measure(
            source, Splits(train, val, test), progress.advance)
    say(f'{source.name}: {score:.2f} ({source.metric})')
    by_class = {}
    if source.metric != MAP_11:
        by_class = write_predictions(predictions, source.test, shares)
        worst = [f'{name} {right} of {total}' for name, (right, total) in by_class.items()]
        rest = ', ... (the .json file has all)' * (len(worst) > 20)
        say(f'Correct by class: {", ".join(worst[:20])}{rest}. Predictions: {predictions}')
    remarks = '; '.join(filter(None, (details, source.remark)))
    return Result(source.name, source.metric, score, key, remarks, by_class)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition('=')
    # The name becomes part of the names of files.
    if not (name and equals and path) or '/' in name:
        raise argparse.ArgumentTypeError(f'{text!r} should be NAME=PATH')
    return name, Path(path).expanduser()
