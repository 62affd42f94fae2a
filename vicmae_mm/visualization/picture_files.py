"""Pictures as files."""
from pathlib import Path

import numpy as np
from PIL import Image

from vicmae_mm.utils.atomic_files import atomic_write, check_writable
from vicmae_mm.utils.errors import InputError

_FORMATS = {'.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg'}


def check_picture(path: Path) -> None:
    """Refuse, before it is drawn, a picture that cannot be written.

    Raises:
        ValueError: The suffix is that of no supported format.
        OSError: The path cannot be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f'{path} has none of the suffixes {", ".join(_FORMATS)} of pictures.')
    check_writable(path)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 (H, W, 3) RGB, atomically."""
    with atomic_write(path) as part:
        Image.fromarray(picture).save(part, _FORMATS[path.suffix.lower()])
