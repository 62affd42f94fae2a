"""Runs the notebooks. ``python -m tests.helpers.notebooks`` does, and keeps the outputs."""
import base64
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from PIL import Image

REPO = Path(__file__).resolve().parents[2]
# In this order: the second looks at the run of the first.
NOTEBOOKS = [REPO / 'notebooks' / f'{name}.ipynb' for name in ('your_videos', 'what_did_it_learn')]


@contextmanager
def started_kernel(folder: Path) -> Iterator[KernelManager]:
    """A kernel that works in a folder."""
    kernel = KernelManager(kernel_name='python3')
    kernel.start_kernel(cwd=str(folder), env=os.environ | dict(PYTHONPATH=str(REPO)))
    try:
        yield kernel
    finally:
        kernel.shutdown_kernel(now=True)


def execute(path: Path, kernel: KernelManager, settings: str = '') -> NotebookNode:
    """The notebook with its outputs; ``settings`` run after the cell tagged ``parameters``."""
    notebook = nbformat.read(path, as_version=4)
    place = 1 + next(number for number, cell in enumerate(notebook.cells)
                     if 'parameters' in cell.metadata.get('tags', ()))
    notebook.cells.insert(place, new_code_cell(settings))
    client = NotebookClient(notebook, km=kernel, timeout=3600, record_timing=False,
                            coalesce_streams=True)
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        client.kc.execute_interactive('%reset -f')  # the next must not need the names of this one
        client.kc.stop_channels()
    del notebook.cells[place]
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Those of its cells that contain code."""
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def tidy(notebook: NotebookNode, folder: Path) -> None:
    """Number the cells, keep one format of each picture, and leave out where it was run."""
    for number, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = number
        for output in cell.outputs:
            if 'execution_count' in output:
                output.execution_count = number
            if 'text' in output:
                output.text = output.text.replace(f'{folder}{os.sep}', '').replace(
                    f'{REPO}{os.sep}', '')
            data = output.get('data', {})
            if 'image/png' in data:
                data['image/png'] = smaller(data['image/png'])
            # Pillow gives two formats, and frontends show one.
            formats = sorted((kind for kind in data if kind.startswith('image/')),
                             key=lambda kind: len(data[kind]))
            for kind in formats[1:]:
                del data[kind]


def smaller(png: str) -> str:
    """The picture with at most 64 colours, in base64."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert('RGB')
    image.quantize(64).save(file, 'png', optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    """Run the notebooks, and write them with their outputs."""
    with TemporaryDirectory() as name, started_kernel(folder := Path(name).resolve()) as kernel:
        for path in NOTEBOOKS:
            notebook = execute(path, kernel)
            tidy(notebook, folder)
            nbformat.write(notebook, path)


if __name__ == '__main__':
    main()
