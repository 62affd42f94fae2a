"""Birdsnap (Berg et al., CVPR 2014), which mmpretrain lacks."""
import csv
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from vicmae_mm.datasets.annotations.data_root import refuse_outside
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingImages
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError


@DATASETS.register_module()
class Birdsnap(SkippingImages, BaseDataset):
    """500 species of North American birds: 47,386 images to train on, 2,443 to test.

    The distribution contains lists, separated by tabs with the column names in the first line, and
    a script ``get_birdsnap.py`` that downloads the images from Flickr, where many no longer exist.
    Listed images that are not on disk are left out and counted in the log::

        birdsnap
        ├── species.txt        id, common, scientific, dir
        ├── images.txt         url, md5, path, species_id, bb_x1, ...
        ├── test_images.txt    path
        └── images             downloaded by the script
            ├── Acadian_Flycatcher/2289.jpg
            └── ...

    Args:
        data_root: The folder ``birdsnap``.
        split: ``'train'`` (all images that are not in test_images.txt) or ``'test'``.
        data_prefix: Folder of the images below ``data_root``.
        **kwargs: As in ``mmpretrain.BaseDataset``; ``max_bad_share`` as in
            :class:`VideoPairDataset`.

    Raises:
        FileNotFoundError: A list, or every image of the split, is missing.
        ValueError: The split is unknown, a list lacks a column, or a path is outside of the images.
    """

    def __init__(self, data_root: str, split: str = 'train', data_prefix: str = 'images',
                 **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise InputError(f"split={split!r} should be 'train' or 'test'.")
        self.split = split
        super().__init__(
            ann_file='images.txt', data_root=data_root, data_prefix=data_prefix,
            **{'test_mode': split == 'test', **kwargs})

    def load_data_list(self) -> list[dict]:
        """Read ``img_path`` and ``gt_label`` (``species_id - 1``) of each image."""
        root = Path(self.ann_file).parent
        species = sorted(_read_columns(root / 'species.txt', 'id', 'common'),
                         key=lambda row: int(row[0]))
        self._metainfo.setdefault('classes', tuple(name for _, name in species))
        test_paths = {path for path, in _read_columns(root / 'test_images.txt', 'path')}
        images = _read_columns(root / 'images.txt', 'path', 'species_id')
        refuse_outside((path for path, _ in images), self.img_prefix, self.ann_file,
                       'remove the line')
        listed = [(str(Path(self.img_prefix, path)), int(species_id) - 1)
                  for path, species_id in images if (path in test_paths) == (self.split == 'test')]
        records = [dict(img_path=path, gt_label=label) for path, label in listed
                   if Path(path).is_file()]  # os.path's would take a failing disk for no file
        missing = len(listed) - len(records)
        if not records:
            raise FileNotFoundError(f'None of the {missing:,} images that images.txt lists for '
                                    f'{self.split!r} exists in {self.img_prefix}.')
        if missing:
            print_log(f'Birdsnap: {missing:,} of {len(listed):,} images of '
                      f'{self.split!r} are not on disk and were left out.', 'current')
        return records


def _read_columns(path: Path, *names: str) -> list[tuple[str, ...]]:
    with open(path, encoding='utf-8', newline='') as file:
        reader = csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE)
        missing = set(names) - set(reader.fieldnames or ())
        if missing:
            raise InputError(f'{path} lacks the column(s) {", ".join(sorted(missing))}: its first '
                             'line should name all columns, separated by tabs.')
        return [tuple(row[name] for name in names) for row in reader]
