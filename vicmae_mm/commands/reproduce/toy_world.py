"""What the scale "toy" trains on and measures: clips and images of digits."""
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import Image

from vicmae_mm.commands.preparation.imagenet_subset import nested_subsets
from vicmae_mm.commands.quickstart.clips import render_clips
from vicmae_mm.commands.quickstart.digit_scenes import World, load_worlds
from vicmae_mm.commands.quickstart.mask_propagation import score_propagation
from vicmae_mm.commands.quickstart.measuring import ImageSet, draw_images, measure
from vicmae_mm.models.encoder import Encoder
from vicmae_mm.utils.atomic_files import locked

from .jobs import LOCK
from .tables import SHARES

NUM_CLIPS = 1000
# Held-out digits that chose the settings of configs/_base_/scales/toy.py, and are in no result
NUM_VALIDATION = 240
POSES = dict(train=2, val=4)  # of each digit


@cache
def split_worlds() -> dict[str, World]:
    """Worlds of digits: to train on, to choose settings, and to measure the results."""
    train, held_out = load_worlds()
    first, rest = slice(NUM_VALIDATION), slice(NUM_VALIDATION, None)
    validation, test = (replace(held_out, glyphs=held_out.glyphs[part],
                                labels=held_out.labels[part]) for part in (first, rest))
    return dict(train=train, validation=validation, val=test)


def render(folder: Path, seed: int) -> Path:
    """Render the clips of a seed, unless they are there. Returns their folder."""
    with locked(folder / LOCK):
        render_clips(folder / 'clips', split_worlds()['train'], NUM_CLIPS, seed)
    return folder / 'clips'


def draw_splits(seed: int, size: int) -> list[ImageSet]:
    """Images of side ``size`` px that train the probes, and others that they are measured on."""
    worlds = split_worlds()
    return [draw_images(worlds[split], poses, size, seed + 1 + number)
            for number, (split, poses) in enumerate(POSES.items())]


def measure_digits(encoder: Encoder, seed: int, size: int) -> dict[str, float]:
    """Scores in percent, by evaluation.

    Accuracies of a linear probe and kNN, on the class token and on the mean of the patches, and
    J&F of :func:`score_propagation`.
    """
    found = measure(encoder, *draw_splits(seed, size))
    propagated = score_propagation(encoder, split_worlds()['val'], seed + 3)
    return {**{f'{kind}{suffix}': 100 * getattr(found[level], kind)
               for level, suffix in (('cls', ''), ('avg', '_patches'))
               for kind in ('linear', 'knn')},
            'propagation': 100 * propagated['J&F']}


def write_images(folder: Path, seed: int, size: int) -> Path:
    """Write images in class folders, ``train`` and ``val``, and lists of ``SHARES`` of ``train``.

    A share is one of digits, with all of their images. Returns ``folder / 'images'``.
    """
    root = folder / 'images'
    with locked(folder / LOCK):
        if not (root / 'subsets').is_dir():
            for name, images in zip(POSES, draw_splits(seed, size), strict=True):
                _write_classes(root / name, images)
            _write_shares(root / 'subsets', seed)
    return root


def _write_classes(folder: Path, images: ImageSet) -> None:
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = folder / str(label.item()) / f'{number:05}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def _write_shares(folder: Path, seed: int) -> None:
    labels = split_worlds()['train'].labels
    digits = [(f'{number:05}', int(label)) for number, label in enumerate(labels)]
    folder.mkdir()
    for share, chosen in nested_subsets(digits, SHARES, seed).items():
        (folder / f'train_{share:03}pct.txt').write_text(''.join(
            f'{label}/{int(digit) + pose * len(labels):05}.png {label}\n'
            for pose in range(POSES['train']) for digit, label in chosen))
