"""Where the results of a checkpoint are written: a JSON file and a table in Markdown."""
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vicmae_mm.checkpoints.weight_folders import files_of_weights
from vicmae_mm.utils.atomic_files import atomic_write


def results_folder(kind: str, checkpoint: str | Path) -> Path:
    """The default folder, named after the run, or folder, and the file of the checkpoint."""
    path = files_of_weights(checkpoint)[0]
    return Path('work_dirs', kind, f'{path.parent.name}_{path.stem}')


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]],
                   texts: Sequence[str] = ()) -> list[str]:
    """Lines of a table; the first column and those headed ``texts`` are text, others numbers."""
    ruler = ['---' if name in (header[0], *texts) else '---:' for name in header]
    return [f'| {" | ".join(row)} |' for row in (header, ruler, *rows)]


def write_result_files(path: Path, content: dict[str, Any], markdown: str) -> None:
    """Write the JSON file and, next to it, the Markdown file, each atomically."""
    # JSON has no NaN: null.
    content = json.loads(json.dumps(content), parse_constant=lambda name: None)
    for suffix, text in (('.json', json.dumps(content, indent=2)), ('.md', markdown)):
        with atomic_write(path.with_suffix(suffix)) as part:
            # Names of files need not be UTF-8.
            part.write_text(text.rstrip('\n') + '\n', encoding='utf-8', errors='surrogateescape')
