"""Curves of a pre-training run, drawn from the scalars that mmengine writes to disk."""
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

Record = dict[str, float]

# title of the panel, its scalars, limits of the y axis
PANELS: tuple[tuple[str, tuple[str, ...], tuple[float, float] | None], ...] = (
    ('reconstruction loss', ('recon', ), None),
    ('contrastive loss', ('contrast', ), None),
    ('total loss and its weighted parts', ('loss', 'loss_recon', 'loss_contrast'), None),
    ('embedding std (0 = collapse)', ('embedding_std', ), (0, 1.1)),
    ('embedding rank (1 = collapse)', ('embedding_rank', ), None),
    ('pair accuracy', ('pair_accuracy', ), (0, 1.05)),
    ('probes of frozen features (%)',
     ('probe/knn_accuracy', 'probe/linear_accuracy', 'probe/recall_at_1'), None),
    ('median rank of the second frame (1 = best)', ('probe/median_rank', ), None),
)


def find_scalars(work_dir: str | Path) -> list[Path]:
    """Find the scalar files of all runs in a work directory, oldest first."""
    return sorted(Path(work_dir).glob('*/vis_data/scalars.json'))


def read_train_scalars(paths: Sequence[str | Path]) -> list[Record]:
    """Read the records, by increasing ``step``, of training and probes, and of runs it resumed.

    Files, oldest first, have one JSON object per line, else a ValueError is raised.
    """
    records: list[Record] = []
    for path in paths:
        # A resumed run repeats the steps after its checkpoint: its records replace the earlier.
        new = [record for record in _read_lines(Path(path))
               if 'loss' in record or any(name.startswith('probe/') for name in record)]
        if new:
            first = new[0]['step'] + ('loss' not in new[0]) / 2  # a probe follows its step
            records = [record for record in records
                       if record['step'] + ('loss' not in record) / 2 < first] + new
    return records


def plot_curves(paths: Sequence[str | Path], png: str | Path) -> None:
    """Draw the losses, collapse monitors and schedules of one run; panels without data are omitted.

    ``paths`` are as in :func:`read_train_scalars`, or mmengine's
    ``<timestamp>/vis_data/<timestamp>.json``; without training records they raise a ValueError.
    """
    if Path(png).suffix[1:].lower() not in Figure().canvas.get_supported_filetypes():
        raise InputError(f'{png} does not end in a format of pictures, such as .png or .pdf.')
    records = _positions(read_train_scalars(paths))
    if not records:
        raise InputError(f'There is no training record in {", ".join(map(str, paths)) or "no file"}'
                         ': records are written every LoggerHook.interval iterations.')
    panels = [panel for panel in PANELS
              if any(name in record for record in records for name in panel[1])]
    num_panels = len(panels) + 1  # and the schedules
    columns = min(num_panels, 4 if num_panels > 6 else 3)
    rows = math.ceil(num_panels / columns)
    # Not pyplot: it keeps figures in global state and may need a display.
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (title, names, limits) in zip(axes, panels):  # noqa: B905 (more axes than panels)
        _draw_panel(axis, records, title, names, limits)
    _draw_schedules(axes[len(panels)], records)
    for axis in axes[len(panels) + 1:]:
        axis.set_axis_off()
    with atomic_write(png) as part:
        figure.savefig(part, dpi=110, format=Path(png).suffix[1:].lower())


def _positions(records: list[Record]) -> list[Record]:
    """Add the position on the x axis, in epochs, or iterations where their length is not known."""
    in_epochs = all(record.get('epoch_length') for record in records)
    position = step = 0.
    for record in records:
        position += (record['step'] - step) / (record['epoch_length'] if in_epochs else 1)
        step, record['x'], record['in_epochs'] = record['step'], position, in_epochs
    return records


def _read_lines(path: Path) -> list[Record]:
    lines = path.read_text(errors='replace').splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            # A killed run may leave half a line at the end.
            if number == len(lines) > 1:
                break
            raise InputError(
                f'{path}, line {number}: expected one JSON object per line, as in '
                f"LocalVisBackend's scalars.json ({error}).") from error
        if isinstance(record, dict):
            records.append(record)
    return records


def _series(records: list[Record], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions at which a scalar was logged, and its values."""
    points = [(record['x'], record[name]) for record in records if name in record]
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    return steps, values


def _draw_panel(axis: Axes, records: list[Record], title: str, names: Sequence[str],
                limits: tuple[float, float] | None) -> None:
    by_source = {key for record in records for key in record if key.startswith(
        tuple(f'{name}/' for name in names))}
    for name in (*names, *sorted(by_source)):
        steps, values = _series(records, name)
        if len(steps):
            axis.plot(steps, values, label=name, marker='.' if len(steps) < 30 else None)
        steps, values = _series(records, f'{name}_chance')
        if len(steps):
            axis.plot(steps, values, label='chance', color='grey', linestyle=':')
    if len(axis.get_lines()) > 1:
        axis.legend()
    if limits:
        axis.set_ylim(*limits)
    _label(axis, title, records)


def _draw_schedules(axis: Axes, records: list[Record]) -> None:
    """Draw the learning rate and, on an axis of its own, the contrast weight."""
    marker = '.' if len(records) < 30 else None
    axis.plot(*_series(records, 'lr'), color='C0', label='lr', marker=marker)
    axis.set_ylabel('lr', color='C0')
    axis.ticklabel_format(axis='y', style='sci', scilimits=(-2, 2))
    steps, weights = _series(records, 'contrast_weight')
    if len(steps):
        right = axis.twinx()
        right.plot(steps, weights, color='C1', marker=marker)
        right.set_ylabel('contrast weight', color='C1')
        right.set_ylim(bottom=0)
    _label(axis, 'schedules', records)


def _label(axis: Axes, title: str, records: list[Record]) -> None:
    axis.set_title(title)
    axis.set_xlabel('epoch' if records[-1]['in_epochs'] else 'iteration')
    axis.set_xlim(0, records[-1]['x'])
    axis.grid(alpha=0.3)
