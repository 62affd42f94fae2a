"""Folders in place of a file of weights: of the Hugging Face Hub, or of a run."""
import json
import os
import re
from pathlib import Path

from vicmae_mm.utils.errors import InputError

_NAMES = ('model.safetensors', 'pytorch_model.bin')  # in the order of transformers
# A URL or a prefix of mmengine's loaders, such as open-mmlab:// or petrel:s3://. pathlib makes one
# slash of two.
_URL = re.compile(r'[\w.+:-]+:/')
PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'


def check_exists(path: str | Path, advice: str = '', allow_url: bool = True) -> None:
    """Refuse a checkpoint that is not there, with ``advice``; URLs are not looked up.

    Raises:
        FileNotFoundError: The file or folder does not exist.
        ValueError: It is a URL, and must not be one; or a folder without weights.
    """
    local = os.path.expanduser(path)
    if _URL.match(str(path)):
        if not allow_url:
            raise InputError(f'{path} is a URL: download it, and pass the local file.')
    elif os.path.exists(local):
        files_of_weights(local)
    else:
        if os.path.islink(local):
            target = os.readlink(local)
            advice = f'it is a link to {target}, which is missing' + (
                ' (fetch it with git annex get)' if '/annex/' in target else '')
        raise FileNotFoundError(f'There is no checkpoint {path}{f": {advice}" if advice else "."}')


def files_of_weights(path: str | Path) -> list[Path]:
    """The files of weights in a folder of the Hub or an index; else the path alone. All resolved.

    Of the folder of a run, that is its newest undamaged checkpoint; the log says which.

    Raises:
        ValueError: If a folder has no such file, or is of both kinds; or the index is damaged, or
            one of its files is missing or in another folder.
    """
    from .resume import has_checkpoints, newest_of_run  # mmengine, while it is imported, needs us
    index = Path(path).expanduser().resolve()
    if index.is_dir():
        found = [index / name for name in _NAMES if (index / name).is_file()]
        found += sorted(index.glob('*.index.json'), reverse=True)  # safetensors first
        if found and has_checkpoints(index):
            raise InputError(f'{index} has checkpoints of a run and {found[0].name}: name the file '
                             'of the one that you mean.')
        if of_run := newest_of_run(index):
            return [of_run]
        if not found:
            names = sorted(file.name for file in index.iterdir() if file.suffix in (*PICKLED, SAFE))
            raise InputError(
                f'{index} is a folder without {" or ".join(_NAMES)}, and not of a run (epoch_*.pth '
                f'or iter_*.pth): {f"name {names[-1]}" if names else "it has no weights"}.')
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
