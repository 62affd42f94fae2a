"""A picture of the paper's tables next to ours."""
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .comparison import Scores
from .statistics import mean_interval
from .tables import TABLES, Table

PAPER, OURS = 'tab:grey', 'tab:blue'


def draw_tables(tables: Iterable[int], scores: Scores, scale: str, path: Path) -> None:
    """Draw a row of two panels per table: the paper's numbers, and ours with their intervals."""
    numbers = [number for number in tables if any(
        (row.config, evaluation) in scores for row in TABLES[number].rows
        for evaluation in TABLES[number].columns.values())]
    figure = Figure(figsize=(9, 0.6 + 2.3 * len(numbers)), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(numbers), 2, squeeze=False)
    for number, (left, right) in zip(numbers, panels, strict=True):
        table = TABLES[number]
        left.set_title(f'Table {number}, paper')
        right.set_title(f'ours, scale "{scale}", mean and 95 % interval')
        draw = _draw_rows if len(table.columns) == 1 else _draw_lines
        draw(table, scores, left, right)
        for axis in (left, right):
            axis.grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def _draw_rows(table: Table, scores: Scores, left: Axes, right: Axes) -> None:
    """One line per row of the table, the first at the top."""
    evaluation, = table.columns.values()
    for height, row in enumerate(reversed(table.rows)):
        if row.paper:
            left.plot(row.paper, [height], 'o', color=PAPER)
        values = [*scores.get((row.config, evaluation), {}).values()]
        if values:
            mean, half = mean_interval(values)
            right.plot(values, [height] * len(values), '.', color=OURS, alpha=0.4)
            right.errorbar(mean, height, xerr=half, fmt='o', color=OURS, capsize=4)
    for axis in (left, right):
        axis.set_yticks(range(len(table.rows)), [row.name for row in reversed(table.rows)])
        axis.set_ylim(-0.5, len(table.rows) - 0.5)
        axis.set_xlabel('top-1, %')


def _draw_lines(table: Table, scores: Scores, left: Axes, right: Axes) -> None:
    """One curve per row of the table, over its columns."""
    places = range(len(table.columns))
    for number, row in enumerate(table.rows):
        style: dict[str, Any] = dict(color=f'C{number}', label=row.name, marker='o', markersize=4)
        left.plot(places, row.paper, **style)
        found = [[*scores.get((row.config, name), {}).values()] for name in table.columns.values()]
        done = [(place, *mean_interval(values)) for place, values in enumerate(found) if values]
        if done:
            at, means, halves = zip(*done, strict=True)
            right.errorbar(at, means, yerr=halves, capsize=3, **style)
    left.legend()
    for axis in (left, right):
        axis.set_xticks(places, [*table.columns])
        axis.set_xlabel('share of the labels')
        axis.set_ylabel('top-1, %')
