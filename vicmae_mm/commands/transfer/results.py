"""Results next to the paper's: a table in Markdown and a JSON file."""
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vicmae_mm.utils.atomic_files import atomic_write

from .tasks import PAPER, paper_score


@dataclass(frozen=True)
class Result:
    """A row of the table: a score in percent, and a hash of everything that determines it."""

    dataset: str
    metric: str
    score: float
    key: str
    details: str


def as_markdown(title: str, results: list[Result], problems: dict[str, str]) -> str:
    """One row per dataset, with the paper's four rows as columns; then what was not measured."""
    header = ['dataset', 'metric', 'this checkpoint', *PAPER, 'details']
    rows = [header, ['---', '---', *['---:'] * (1 + len(PAPER)), '---']]
    for result in results:
        paper = (paper_score(row, result.dataset) for row in PAPER)
        rows.append([
            result.dataset, result.metric, f'{result.score:.2f}',
            *('' if score is None else f'{score:.2f}' for score in paper), result.details])
    lines = [f'# {title}']
    if results:
        lines += ['', *(f'| {" | ".join(row)} |' for row in rows)]
    if problems:
        lines += ['', 'Not measured:', '', *(f'- {name}: {why}' for name, why in problems.items())]
    return '\n'.join(lines) + '\n'


def read_results(path: Path, checkpoint_key: str) -> dict[str, Result]:
    """Read earlier results by dataset; none if the file is missing or of another checkpoint."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['checkpoint_key'] != checkpoint_key:
            return {}
        return {entry['dataset']: Result(**entry) for entry in content['results']}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # results can be measured again, so a damaged file is no error


def write_results(path: Path, checkpoint_key: str, checkpoint: str, level: str,
                  results: list[Result], problems: dict[str, str]) -> None:
    """Write the JSON file atomically."""
    content = dict(checkpoint=checkpoint, checkpoint_key=checkpoint_key, level=level,
                   results=[asdict(result) for result in results], not_measured=problems)
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
