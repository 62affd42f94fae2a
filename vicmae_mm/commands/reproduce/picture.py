"""A picture of the paper's tables next to ours."""
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .comparison import Scores
from .statistics import mean_interval
from .tables import TABLES, Table


def draw_tables(tables: Iterable[int], scores: Scores, scale: str, path: Path) -> None:
    """Draw a row of two panels per table: the paper's numbers, and ours with their intervals."""
    numbers = [number for number in tables if any(
        (row.config, evaluation) in scores for row in TABLES[number].rows
        for evaluation in TABLES[number].columns.values())]
    figure = Figure(figsize=(9, 0.6 + 2.3 * len(numbers)), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(numbers), 2, squeeze=False)
    for number, (left, right) in zip(numbers, panels, strict=True):
        left.set_title(f'Table {number}, paper')
        right.set_title(f'ours, scale "{scale}", mean and 95 % interval')
        _draw(TABLES[number], scores, left, right)
    figure.savefig(path, dpi=80)


def _draw(table: Table, scores: Scores, left: Axes, right: Axes) -> None:
    """A curve per row over the columns; of a single column, a point per row."""
    curves, labels = [row.name for row in table.rows], [*table.columns]
    paper: Any = [row.paper or [math.nan] * len(labels) for row in table.rows]
    ours: Any = [[[*scores.get((row.config, name), {}).values()] for name in table.columns.values()]
                 for row in table.rows]
    is_single = len(labels) == 1
    if is_single:
        curves, labels = labels, [name.replace(' + ', '\n+ ') for name in curves]
        paper, ours = ([[cell for cell, in rows]] for rows in (paper, ours))
    for number, (name, known, found) in enumerate(zip(curves, paper, ours, strict=True)):
        style: dict[str, Any] = dict(color=f'C{number}', label=name, marker='o', markersize=4,
                                     linestyle='none' if is_single else '-')
        left.plot(known, **{**style, 'color': 'tab:grey'} if is_single else style)
        means, halves = zip(*(mean_interval(values) if values else (math.nan, math.nan)
                              for values in found), strict=True)
        right.errorbar(range(len(found)), means, yerr=halves, capsize=4, **style)
        for place, values in enumerate(found):
            right.plot([place] * len(values), values, '.', color=f'C{number}', alpha=0.4)
    for axis in (left, right):
        axis.set_xticks(range(len(labels)), labels)
        axis.set_xlim(-0.5, len(labels) - 0.5)
        axis.set_ylabel('top-1, %')
        axis.grid(alpha=0.3)
    if not is_single:
        left.legend()
        left.set_xlabel('share of the labels')
