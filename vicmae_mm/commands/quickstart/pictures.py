"""The quickstart's pictures."""
from pathlib import Path

from PIL import Image

from vicmae_mm.models import ViCMAE
from vicmae_mm.visualization import draw_reconstruction, find_scalars, plot_curves

from .measuring import ImageSet

NUM_DIGITS = 5  # in the reconstruction picture


def draw_pictures(model: ViCMAE, test: ImageSet, run_dir: Path, folder: Path) -> None:
    """Write ``reconstruction.png`` of test images and ``curves.png`` to ``folder``.

    ``run_dir`` is the work directory of the model's runner.
    """
    inputs = [(f'held-out digit {label}', [image])
              for image, label in zip(test.images[:NUM_DIGITS], test.labels, strict=False)]
    picture = draw_reconstruction(model, inputs, seed=0)
    Image.fromarray(picture).save(folder / 'reconstruction.png')
    # The last run only: each quickstart in the same folder adds one.
    plot_curves(find_scalars(run_dir)[-1:], folder / 'curves.png')
