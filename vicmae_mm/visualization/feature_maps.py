"""Pictures of what the patches of images encode."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

# Title and, where there is one number per patch, colours
MAPS: dict[str, tuple[str, str | None]] = {
    'input': ('input', None),
    'pca': ('features of patches, as colours\n(three principal components)', None),
    'similarity': ('similarity to the patch\noutlined in red (cosine)', 'viridis'),
    'attention': ('attention of the class token\n(1: average patch)', 'inferno'),
}


class MappedFile(NamedTuple):
    """An image, or frames of a clip at ``times`` in seconds, and maps of them, named as MAPS."""

    name: str
    times: np.ndarray | None
    maps: dict[str, np.ndarray]  # (t, h, w) or (t, h, w, 3)
    marked: tuple[int, int]  # row and column of a patch of the first frame


def principal_colours(features: Sequence[Tensor]) -> list[Tensor]:
    """Colours (t, h, w, 3) of maps (t, h, w, C): principal components as red, green and blue.

    The components are those of all maps together, from their 1st to their 99th percentile. Signs
    are such that the largest loading is positive. What is constant is grey.
    """
    rows = torch.cat([each.flatten(0, 2) for each in features]).double()
    centred = rows - rows.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1][:, -3:].flip(1)
    axes *= axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    values = (centred @ axes).numpy()
    low, high = np.percentile(values, (1, 99), axis=0)
    is_rounding = high - low <= 1e-5 * float(rows.norm(dim=1).mean())
    scaled = (values - (low + high) / 2) / np.where(is_rounding, np.inf, high - low) + 0.5
    parts = torch.from_numpy(scaled.clip(0, 1)).split([each[..., 0].numel() for each in features])
    return [part.unflatten(0, each.shape[:3]) for part, each in zip(parts, features, strict=True)]


def draw_feature_maps(files: Sequence[MappedFile], title: str = '', kinds: Sequence[str] = (),
                      frames: slice = slice(None)) -> np.ndarray:
    """Draw images, or a clip, next to their maps, as uint8 (height, width, 3) RGB.

    Images are rows, the ``frames`` of a clip columns (one alone: a row). Colour bars are those of
    all frames. All ``kinds`` of maps are drawn by default.
    """
    shown = [(file, at) for file in files for at in range(len(file.maps['input']))[frames]]
    kinds = [kind for kind in MAPS if kind in ('input', *(kinds or files[0].maps))]
    over_time = files[0].times is not None and len(shown) > 1
    labels = ([file.name[-30:] if file.times is None else f'{file.times[at]:.2f} s'
               for file, at in shown], [MAPS[kind][0] for kind in kinds])
    sides, tops = labels[::-1] if over_time else labels
    shapes = [np.array(file.maps['similarity'].shape[:0:-1]) for file, _ in shown]
    # All cells have one shape, in which all images fit with the same longer side.
    cell = np.max([shape / max(shape) for shape in shapes], axis=0)
    # In inches. Not pyplot: it keeps figures in global state and may need a display.
    width, height = 2.4 * cell * (len(tops), len(sides)) + (2.8, 1.2)
    figure = Figure((width, height), layout='compressed')
    grid = figure.subplots(len(sides), len(tops), squeeze=False, subplot_kw=dict(frame_on=False))
    for top, text in zip(grid[0], tops, strict=True):
        top.set_title(text, fontsize=9)
    for side, text in zip(grid[:, 0], sides, strict=True):
        side.set_ylabel(text, fontsize=9, rotation=0, ha='right', va='center')
    for axes, kind in zip(grid if over_time else grid.T, kinds, strict=True):
        values, colours = [file.maps[kind].ravel() for file in files], MAPS[kind][1]
        low, high = np.percentile(np.concatenate(values), (1, 99))
        for axis, (file, at), shape in zip(axes, shown, shapes, strict=True):
            image = axis.imshow(file.maps[kind][at], colours, vmin=low, vmax=max(high, low + 1e-3),
                                interpolation='nearest', extent=(0, shape[0], shape[1], 0))
            (left, right), (top, bottom) = np.outer(cell, (-1, 1)) * max(shape) + shape[:, None]
            axis.set(xticks=[], yticks=[], xlim=(left / 2, right / 2), ylim=(bottom / 2, top / 2))
            if at == 0 and 'similarity' in kinds and kind in ('input', 'similarity'):
                axis.add_patch(Rectangle(file.marked[::-1], 1, 1, fill=False, ec='red', lw=2))
        if colours:
            figure.colorbar(image, ax=list(axes), location='right' if over_time else 'bottom',
                            fraction=0.05, pad=0.01)
    figure.suptitle(title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
