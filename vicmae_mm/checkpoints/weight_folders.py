"""Folders of the Hugging Face Hub, in place of a file of weights."""
import json
from pathlib import Path

from vicmae_mm.utils.errors import InputError

_NAMES = ('model.safetensors', 'pytorch_model.bin')  # in the order of transformers
PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'


def file_of_weights(path: str | Path) -> Path:
    """The file of weights in a folder of the Hub, or the index of several; else the path, resolved.

    Raises:
        ValueError: If a folder has no such file.
    """
    path = Path(path).expanduser().resolve()
    if path.is_dir():
        found = [path / name for name in _NAMES if (path / name).is_file()]
        found += sorted(path.glob('*.index.json'), reverse=True)  # safetensors first
        if found:
            return found[0]
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.suffix in (*PICKLED, SAFE))
        raise InputError(f'{path} is a folder without {" or ".join(_NAMES)}: ' + (
            f'name the file, for example {names[-1]}.' if names else 'it has no weights.'))
    return path


def files_of_weights(path: str | Path) -> list[Path]:
    """As :func:`file_of_weights`, with the files that an index lists in its place.

    Raises:
        ValueError: If the index is damaged, or one of its files is missing or in another folder.
    """
    index = file_of_weights(path)
    if not index.name.endswith('.index.json'):
        return [index]
    try:
        names = sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
        bad = [name for name in names
               if name != Path(name).name or not (index.parent / name).is_file()]
    except (OSError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f'{index} is not an index of weights: {error!r}.') from None
    if bad or not names:
        raise InputError(f'{index} lists {", ".join(bad) or "no file"}: all files of the weights '
                         'must be in its folder.')
    return [index.parent / name for name in names]
