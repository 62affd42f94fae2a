"""Folders of the Hugging Face Hub, in place of a file of weights."""
import json
from pathlib import Path

from vicmae_mm.utils.errors import InputError

_NAMES = ('model.safetensors', 'pytorch_model.bin')  # in the order of transformers
PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'


def files_of_weights(path: str | Path) -> list[Path]:
    """The files of weights in a folder of the Hub or an index; else the path alone. All resolved.

    Raises:
        ValueError: If a folder has no such file; or the index is damaged, or one of its files is
            missing or in another folder.
    """
    index = Path(path).expanduser().resolve()
    if index.is_dir():
        found = [index / name for name in _NAMES if (index / name).is_file()]
        found += sorted(index.glob('*.index.json'), reverse=True)  # safetensors first
        if not found:
            names = sorted(file.name for file in index.iterdir() if file.suffix in (*PICKLED, SAFE))
            raise InputError(f'{index} is a folder without {" or ".join(_NAMES)}: ' + (
                f'name the file, for example {names[-1]}.' if names else 'it has no weights.'))
        index = found[0]
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
