"""The files that the package carries besides its modules."""
from pathlib import Path


def carried_folder(name: str) -> Path:
    """Where configs, tools, benchmarks or docs are: in ``.mim`` if installed, else in the clone."""
    package = Path(__file__).parents[1]
    installed = package / '.mim' / name
    return installed if installed.is_dir() else package.parent / name
