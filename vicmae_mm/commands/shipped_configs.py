"""The configs of this package, found by their names."""
import os

from vicmae_mm.checkpoints.find_config import CONFIG_SUFFIXES
from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.progress import say


def find_shipped(path: str) -> str:
    """``path`` if it exists, else that of the shipped config of this name.

    It may begin with ``configs/``, lack the folder, and lack ``.py``.

    Raises:
        FileNotFoundError: No shipped config has this name, or several have it.
    """
    file = path if path.endswith(CONFIG_SUFFIXES) else f'{path}.py'
    if '://' in path or os.path.exists(file) or os.path.exists(path):
        return file if os.path.exists(file) else path
    folder, name = carried_folder('configs'), file.removeprefix('configs/')
    shipped = [str(each.relative_to(folder)) for each in sorted(folder.rglob('*.py'))
               if '_base_' not in each.parts]
    found = [name] if name in shipped else [
        each for each in shipped if os.path.basename(each) == name]
    if len(found) != 1:
        raise FileNotFoundError(
            f'{path} does not exist, and {len(found) or "no"} shipped configs have this name: '
            f'{", ".join(found) or f"they are in {folder}"}.')
    if 'RANK' not in os.environ:  # else the process that started this one has said so
        say(f'Using the shipped config {folder / found[0]}')
    return str(folder / found[0])
