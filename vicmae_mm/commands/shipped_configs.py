"""The configs of this package, found by their names."""
import os

from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say

_SUFFIXES = '.py', '.yaml', '.yml', '.json'  # of configs that mmengine reads


def find_shipped(path: str) -> str:
    """``path`` if it exists or names no shipped config; else the path of that config.

    It may begin with ``configs/``, lack the folder, and lack ``.py``.

    Raises:
        ValueError: Several shipped configs have this name.
    """
    file = path if path.endswith(_SUFFIXES) else f'{path}.py'
    if '://' in path or os.path.exists(file) or os.path.exists(path):
        return file if os.path.exists(file) else path
    folder, name = carried_folder('configs'), file.removeprefix('configs/')
    shipped = {str(each.relative_to(folder)): each for each in sorted(folder.rglob('*.py'))
               if '_base_' not in each.parts}
    found = [name] if name in shipped else [
        each for each in shipped if os.path.basename(each) == name]
    if len(found) > 1:
        raise InputError(f'{path} does not exist here, and {len(found)} shipped configs have this '
                         f'name: {", ".join(found)}.')
    if not found:
        raise FileNotFoundError(f'{path} does not exist, and no shipped config has this name: they '
                                f'are in {folder}.')
    if 'RANK' not in os.environ:  # else the process that started this one has said so
        say(f'Using the shipped config {shipped[found[0]]}')
    return str(shipped[found[0]])
