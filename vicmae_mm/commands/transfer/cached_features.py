"""Frozen features of a dataset, computed once and kept on disk."""
from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from vicmae_mm.checkpoints.find_config import find_config
from vicmae_mm.evaluation.encode import encode
from vicmae_mm.utils.atomic_files import atomic_write

from .images import PREPARATION, DatasetProblem, Images

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder


@dataclass(frozen=True)
class Features:
    """Features (N, C) and targets: classes (N,), or presence of each class (N, K)."""

    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __add__(self, other: Features) -> Features:
        return Features(torch.cat([self.features, other.features]),
                        torch.cat([self.targets, other.targets]))

    def __getitem__(self, chosen: Tensor) -> Features:
        return Features(self.features[chosen], self.targets[chosen])


def checkpoint_key(checkpoint: str | Path, config: str | Path | None = None) -> str:
    """Hash of a checkpoint and of the config that says how to read it."""
    try:
        config = find_config(checkpoint) if config is None else config
    except (FileNotFoundError, ValueError):
        config = None  # the encoder is told by its tensors alone
    content = hashlib.sha256()
    with open(checkpoint, 'rb') as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    if config is not None:
        # what it says with its bases, not its text alone
        content.update(Config.fromfile(config, import_custom_modules=False).pretty_text.encode())
    return content.hexdigest()


class FeatureCache:
    """Features by checkpoint, data, level and preparation; a change of any computes them anew.

    Args:
        folder: Where the files are.
        encoder: What computes features that are not there.
        key: Of its checkpoint, see :func:`checkpoint_key`.
        level: ``'cls'`` or ``'avg'``.
        batch_size: Images a forward pass.
        num_workers: Processes that read images.
    """

    def __init__(self,
                 folder: Path,
                 encoder: Encoder,
                 key: str,
                 level: str,
                 batch_size: int = 256,
                 num_workers: int = 0) -> None:
        encoder.check_level(level)
        self.folder = folder
        self.encoder = encoder
        self.key = key
        self.level = level
        self.batch_size = batch_size
        self.num_workers = num_workers

    def path(self, name: str, images: Images) -> Path:
        """The file of these images, whether it is there or not."""
        parts = (self.key, images.fingerprint(), self.level, PREPARATION,
                 str(self.encoder.image_size))
        digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:20]
        return self.folder / f'{name}_{self.level}_{digest}.npz'

    def get(self, path: Path, images: Images, progress: Callable[[int], object]) -> Features:
        """Read the features, or compute and keep them.

        Args:
            path: Their file, from :meth:`path`, which looks at every image.
            images: What to encode.
            progress: Called with the number of images done since the last call.

        Raises:
            DatasetProblem: If an image can not be read.
        """
        features = _read(path, len(images))
        if features is None:
            try:
                features = encode(self.encoder, images, self.level, self.batch_size,
                                  self.num_workers, progress)
            except DatasetProblem as error:
                # a worker hands it on as the text of a traceback
                raise DatasetProblem(
                    str(error).strip().rsplit(f'{DatasetProblem.__name__}: ')[-1]) from error
            _write(path, features)
        return Features(features, images.targets)


def _read(path: Path, count: int) -> Tensor | None:
    """The features; None if there is no whole file of them."""
    try:
        with np.load(path, allow_pickle=False) as content:
            features = torch.from_numpy(content['features'])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if len(features) == count else None


def _write(path: Path, features: Tensor) -> None:
    with atomic_write(path) as part, open(part, 'wb') as file:
        np.savez(file, features=features.numpy())
