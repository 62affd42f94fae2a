"""The paper's tables next to ours."""
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from vicmae_mm.commands.result_files import markdown_table

from .jobs import read_records
from .statistics import mean_interval, paired_difference, verdict
from .tables import TABLES, Table

# Measured with the linear evaluation at the scale "toy"
FURTHER = dict(linear_patches='linear, patches', knn='kNN', knn_patches='kNN, patches',
               propagation='label propagation, J&F')
Scores = Mapping[tuple[str, str], Mapping[int, float]]  # of config and evaluation, by seed


def read_scores(root: Path) -> Scores:
    """The scores, in percent, of all jobs in a folder."""
    scores: dict[tuple[str, str], dict[int, float]] = {}
    for record in read_records(root):
        scores.setdefault((record['config'], record['evaluation']), {})[
            record['seed']] = record['score']
    return scores


def markdown_report(tables: Iterable[int], scores: Scores) -> str:
    """The tables and their orderings as Markdown."""
    lines: list[str] = []
    for number in tables:
        table = TABLES[number]
        lines += [f'## Table {number}: {table.title}', '', *_values(table, scores), '',
                  *_orderings(table, scores), '']
    return '\n'.join(lines)


def _values(table: Table, scores: Scores) -> list[str]:
    further = {} if 'linear' not in table.columns else {
        name: heading for name, heading in FURTHER.items()
        if any(key[1] == name for key in scores)}
    header = ['row', *(f'{heading}, paper' for heading in table.columns),
              *(f'{heading}, ours' for heading in table.columns), *further.values(), 'seeds']
    rows = []
    for row in table.rows:
        names = [*table.columns.values(), *further]
        found = [scores.get((row.config, name), {}) for name in names]
        paper = [f'{value:.2f}' for value in row.paper] or ['-'] * len(table.columns)
        ours = [str(mean_interval([*by_seed.values()])) if by_seed else '-' for by_seed in found]
        rows.append([row.name, *paper, *ours, str(len(found[0]))])
    return markdown_table(header, rows)


def _orderings(table: Table, scores: Scores) -> list[str]:
    rows = []
    for position, (heading, evaluation) in enumerate(table.columns.items()):
        where = f'{heading}: ' if len(table.columns) > 1 else ''
        for low, high in combinations(table.rows, 2):
            known = low.paper and high.paper
            paper = high.paper[position] - low.paper[position] if known else 0
            if paper < 0:
                low, high, paper = high, low, -paper
            ours = paired_difference(scores.get((low.config, evaluation), {}),
                                     scores.get((high.config, evaluation), {}))
            sign = ('not run' if not ours else verdict(paper, ours) if known else
                    'not in the paper')
            rows.append([f'{where}{high.name} > {low.name}', f'{paper:.2f}' if known else '-',
                         str(ours or '-'), sign])
    return markdown_table(['ordering', 'difference, paper', 'difference, ours', 'sign'], rows,
                          ['sign'])
