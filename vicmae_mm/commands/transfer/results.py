"""Results next to the paper's: a table in Markdown and a JSON file."""
import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from vicmae_mm.commands.result_files import markdown_table, write_result_files
from vicmae_mm.evaluation.images import Images
from vicmae_mm.utils.atomic_files import atomic_write

from .tasks import PAPER


@dataclass(frozen=True)
class Result:
    """A row of the table: a score in percent, and a hash of everything that determines it."""

    dataset: str
    metric: str
    score: float
    key: str
    details: str
    by_class: dict[str, list[int]]  # right and all test images; {} for several labels per image


def as_markdown(title: str, results: list[Result], problems: dict[str, str]) -> str:
    """One row per dataset, next to the paper's numbers, if any; then what was not measured."""
    columns = [row for row, scores in PAPER.items()
               if any(result.dataset in scores for result in results)]
    rows = [[result.dataset, result.metric, f'{result.score:.2f}',
             *(f'{PAPER[row][result.dataset]:.2f}' if result.dataset in PAPER[row] else ''
               for row in columns), result.details] for result in results]
    lines = [f'# {title}']
    if results:
        lines += ['', *markdown_table(['dataset', 'metric', 'this checkpoint', *columns, 'details'],
                                      rows, texts=('metric', 'details'))]
    if problems:
        lines += ['', 'Not measured:', '', *(f'- {name}: {why}' for name, why in problems.items())]
    return '\n'.join(lines)


def write_predictions(path: Path, images: Images, shares: Tensor) -> dict[str, list[int]]:
    """Write predictions and their shares (N, K) as csv, and count, the worst classes first."""
    names, targets = [*map(str, images.classes or range(shares.shape[1]))], images.targets
    scores, predicted = shares.max(1)
    with atomic_write(path) as part, open(
            part, 'w', encoding='utf-8', errors='surrogateescape', newline='') as file:
        csv.writer(file).writerows([('file', 'label', 'prediction', 'score'), *(
            (record.get('img_path', index), names[targets[index]], names[predicted[index]],
             f'{scores[index]:.4f}') for index, record in enumerate(images.records))])
    right = predicted == targets
    counts = {names[label]: [int(right[targets == label].sum()), int((targets == label).sum())]
              for label in targets.unique()}
    return dict(sorted(counts.items(), key=lambda item: item[1][0] / item[1][1]))


def read_results(path: Path, checkpoint_key: str) -> dict[str, Result]:
    """Read earlier results by dataset; none if the file is missing or of another checkpoint."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['checkpoint_key'] != checkpoint_key:
            return {}
        return {entry['dataset']: Result(**entry) for entry in content['results']}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # results can be measured again, so a damaged file is no error


def write_results(path: Path, title: str, about: dict[str, str], results: list[Result],
                  problems: dict[str, str]) -> str:
    """Write the JSON file, which begins with ``about``, and the table, which is returned."""
    markdown = as_markdown(title, results, problems)
    write_result_files(path, dict(about, results=[asdict(result) for result in results],
                                  not_measured=problems), markdown)
    return markdown
