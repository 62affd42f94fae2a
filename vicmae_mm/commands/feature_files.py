"""Files of features: one of all images and videos, or, over time, one of each video."""
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors.torch import save
from torch import Tensor

from vicmae_mm.apis.features import FileFeatures, list_files
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS as IMAGE_EXTENSIONS
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.base import is_machines
from vicmae_mm.utils.atomic_files import atomic_file, check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state
from vicmae_mm.utils.progress import track

_SUFFIXES = ('.npz', '.safetensors')
_NO_FOLDERS = ('.npy', '.safetensors', '.pt', '.pth', '.pkl', '.h5', '.json', '.csv')


def check_output(out: Path, over_time: bool) -> None:
    """Refuse a path to which no features can be written, before anything is computed."""
    if over_time and out.suffix in _NO_FOLDERS:
        raise InputError(f'{out} is neither a folder nor a .npz file, which --fps needs.')
    if not over_time and out.suffix not in _SUFFIXES:
        raise InputError(f'{out} has none of the suffixes {" and ".join(_SUFFIXES)}.')
    check_writable(out if out.suffix in _SUFFIXES else out / 'features' / 'a.npy')


def write_features(out: Path, result: FileFeatures) -> None:
    """Write features and names of files in the format of the suffix."""
    with atomic_file(out) as file:
        if out.suffix == '.npz':
            np.savez(file, features=result.features.numpy(), names=np.array(result.names))
        else:
            file.write(save(dict(features=result.features), dict(names=json.dumps(result.names))))


def name_videos(paths: list[str]) -> dict[str, str]:
    """A name of each video, by its file: its path below the folder that contains all ``paths``.

    Raises:
        ValueError: A path is an image, or two videos would have the same name.
    """
    files = [str(Path(file).absolute()) for file in list_files(paths, only_videos=True)]
    if images := [file for file in files if file.lower().endswith(IMAGE_EXTENSIONS)]:
        raise InputError(f'{images[0]} is an image: only videos have features over time (--fps).')
    given = [Path(path).expanduser().absolute() for path in paths]
    root = os.path.commonpath([path if path.is_dir() else path.parent for path in given])
    names = {file: os.path.relpath(file, root) for file in files}
    stems = Counter(os.path.splitext(name)[0] for name in names.values())
    # Without dots: the tools use a name up to its first.
    names = {file: (stem if stems[stem := os.path.splitext(name)[0]] == 1 else name).replace(
        '.', '_') for file, name in names.items()}
    for name, count in Counter(names.values()).items():
        if count > 1:
            twice = ' and '.join(file for file in names if names[file] == name)
            raise InputError(f'{twice} would both be {name}.npy: rename one.')
    return names


def write_over_time(
        out: Path, names: dict[str, str],
        encode: Callable[[str], tuple[np.ndarray, Iterator[Tensor]]],
        settings: list[object], bad: list[str]) -> int:
    """Write features over time to a .npz, or to a folder those that it lacks; return their number.

    ``names`` is from :func:`name_videos`, ``encode`` from :func:`encoding_over_time`; ``settings``
    determine the features of a video. ``bad`` gets the messages on videos that are left out.

    Raises:
        ValueError: No video can be read, or the folder has features of other videos or settings.
    """
    sources = {file: json.dumps([file, *file_state(file), *settings]) for file in names}
    is_file = out.suffix == '.npz'
    todo = [file for file, name in names.items()
            if is_file or not _is_done(out, name, sources[file])]
    if len(todo) < len(names):
        print(f'{len(names) - len(todo)} of {len(names)} videos are in {out} already.')
    rows: list[tuple[np.ndarray, ...]] = []
    for path in todo:
        try:
            times, vectors = encode(path)
            vectors = track(vectors, os.path.basename(path), len(times))
            if is_file:
                rows.append((np.stack([*vectors]), times, np.full(len(times), path)))
            else:
                _write_video(out, names[path], times, vectors, sources[path])
        except (VideoError, InputError) as error:
            if is_machines(error):
                raise
            bad.append(str(error))
    if len(bad) == len(names):
        raise InputError(f'None of the {len(bad)} videos can be read.')
    if is_file:
        features, times, files = map(np.concatenate, zip(*rows, strict=True))
        with atomic_file(out) as file:
            np.savez(file, features=features, times=times, names=files)
    if len(todo) > len(bad):
        print(f'Wrote {out}: features over time of {len(todo) - len(bad)} videos')
    return len(names) - len(bad)


def _is_done(out: Path, name: str, source: str) -> bool:
    """Whether a video has its files; refuses those of another video or with other settings."""
    features = out / f'features/{name}.npy'
    if not features.exists():
        return False
    with suppress(OSError, ValueError, KeyError, BadZipFile), (
            np.load(out / f'times/{name}.npz')) as kept:
        if kept['source'] == source:
            return True
    raise InputError(f'{features} is not of this video, checkpoint and settings: remove it, or '
                     'name another folder with --out.')


def _write_video(out: Path, name: str, times: np.ndarray, vectors: Iterator[Tensor],
                 source: str) -> None:
    """Write features/NAME.npy, (C, T), and times/NAME.npz, each complete or not at all."""
    with atomic_file(out / f'features/{name}.npy') as features:
        for number, vector in enumerate(vectors):
            if not number:  # columns follow each other, so they can be written as they come
                np.lib.format.write_array_header_1_0(features, dict(
                    descr='<f4', fortran_order=True, shape=(len(vector), len(times))))
            features.write(vector.numpy().astype('<f4').tobytes())
        # Before the features are renamed: those without times are not of this command.
        with atomic_file(out / f'times/{name}.npz') as file:
            np.savez(file, times=times, source=source)
