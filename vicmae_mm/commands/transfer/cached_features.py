"""Frozen features of a dataset, computed once and kept on disk."""
from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from vicmae_mm.apis.hub_config import hub_files
from vicmae_mm.checkpoints.find_config import find_config
from vicmae_mm.checkpoints.weight_folders import files_of_weights
from vicmae_mm.commands.run_tool import own_message
from vicmae_mm.evaluation.encode import encode
from vicmae_mm.evaluation.images import PREPARATION, Images
from vicmae_mm.evaluation.protocol import Features
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import Progress

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder


def checkpoint_key(checkpoint: str | Path, config: str | Path | None = None) -> str:
    """Hash a checkpoint and the config that says how to read it."""
    try:
        config = find_config(checkpoint) if config is None else config
    except (FileNotFoundError, ValueError):
        config = None  # the encoder is inferred from its tensors alone
    content = hashlib.sha256()
    extra = [path for path in hub_files(checkpoint) if path.is_file()] if config is None else []
    for path in [*files_of_weights(checkpoint), *extra]:
        with open(path, 'rb') as file:
            while chunk := file.read(1 << 20):
                content.update(chunk)
    if config is not None:
        # The merged config, not the file's text: a change in one of its bases counts.
        content.update(Config.fromfile(config, import_custom_modules=False).pretty_text.encode())
    return content.hexdigest()


@dataclass(frozen=True)
class FeatureCache:
    """Features by checkpoint, images, level and preparation; recomputed if one of them changes."""

    folder: Path  # of the files
    encoder: Encoder  # computes missing features
    key: str  # from checkpoint_key, for the encoder's checkpoint
    level: str  # 'cls' or 'avg'
    batch_size: int = 256  # images per forward pass
    num_workers: int = 0  # processes that read images

    def path(self, name: str, images: Images) -> Path:
        """The file for these images, whether it exists or not; stats every image file."""
        parts = (self.key, images.fingerprint(), self.level, PREPARATION,
                 str(self.encoder.image_size))
        digest = hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:20]
        return self.folder / f'{name}_{self.level}_{digest}.npz'

    def get(self, path: Path, images: Images) -> Features:
        """Read the features from their :meth:`path`, or compute and save them."""
        features = _read(path, len(images))
        if features is None:
            try:
                with Progress(f'{path.stem}: features', len(images), transient=True) as progress:
                    features = encode(self.encoder, images, self.level, self.batch_size,
                                      self.num_workers, progress.advance)
            except InputError as error:
                # From a worker, the error's text is a traceback: the table needs one line.
                raise InputError(own_message(error)) from error
            with atomic_write(path) as part, open(part, 'wb') as file:
                np.savez(file, features=features.numpy())
        return Features(features, images.targets)


def _read(path: Path, count: int) -> Tensor | None:
    """The features; None if there is no complete, undamaged file of them."""
    try:
        # Files may come from others: pickled objects in them could execute code.
        with np.load(path, allow_pickle=False) as content:
            features = torch.from_numpy(content['features'])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if len(features) == count else None
