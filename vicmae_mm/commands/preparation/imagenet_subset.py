"""Class-stratified, nested subsets of labelled images (Table 10)."""
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from vicmae_mm.datasets.annotations.image_lists import Image
from vicmae_mm.utils.errors import InputError


def nested_subsets(images: Sequence[Image], percentages: Iterable[int],
                   seed: int = 0) -> dict[int, list[Image]]:
    """Draw the same share of every class; each larger subset contains the smaller ones.

    ``floor(n * percentage / 100)`` of the n images of a class are taken, at least one. The
    draw depends only on the seed, the label and the paths of the class. The images of each
    percentage, 1 to 100, are sorted by label and path. An image that is listed twice is an
    InputError.
    """
    if twice := [path for path, count in Counter(path for path, _ in images).items() if count > 1]:
        raise InputError(f'{twice[0]} is listed twice.')
    by_label: dict[int, list[str]] = defaultdict(list)
    for path, label in images:
        by_label[label].append(path)
    for label, paths in by_label.items():
        paths.sort()
        # One shuffle per class; each share is a prefix of it, so the subsets are nested.
        random.Random(f'{seed} {label}').shuffle(paths)
    return {percentage: sorted(
        ((path, label) for label, paths in by_label.items()
         for path in paths[:max(1, len(paths) * percentage // 100)]),
        key=lambda image: (image[1], image[0])) for percentage in percentages}
