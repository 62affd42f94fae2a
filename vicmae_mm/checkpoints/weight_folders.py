"""Folders of the Hugging Face Hub, in place of a file of weights."""
from pathlib import Path

from vicmae_mm.utils.errors import InputError

_NAMES = ('model.safetensors', 'pytorch_model.bin')  # in the order of transformers
PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'


def file_of_weights(path: str | Path) -> Path:
    """The file of weights in a folder of the Hub; any other path is returned, resolved.

    Raises:
        ValueError: If a folder has no such file, or the weights are in several.
    """
    path = Path(path).expanduser().resolve()
    index = path if path.name.endswith('.index.json') else None
    if path.is_dir():
        index = next(path.glob('*.index.json'), None)
        found = [path / name for name in _NAMES if (path / name).is_file()]
        if found:
            return found[0]
    if index is not None:
        raise InputError(f'{index} is the index of weights in several files (shards). Join them: '
                         "load them with their library, and save with max_shard_size='100GB'.")
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.suffix in (*PICKLED, SAFE))
        raise InputError(f'{path} is a folder without {" or ".join(_NAMES)}: ' + (
            f'name the file, for example {names[-1]}.' if names else 'it has no weights.'))
    return path
