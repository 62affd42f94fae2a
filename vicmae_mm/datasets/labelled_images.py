"""Labelled images in class folders or in a list, with errors that say what to change."""
import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmpretrain.datasets import CustomDataset

from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS, Image, scan_classes
from vicmae_mm.datasets.annotations.video_lists import find_labelled
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingImages
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError, quoted


@DATASETS.register_module()
class LabelledImages(SkippingImages, CustomDataset):
    """mmpretrain's ``CustomDataset`` for labelled local files, with errors that say what to change.

    Without ``ann_file``, the folders in ``data_prefix`` are the classes, in sorted order (for
    ImageNet these are the usual labels) or, if ``classes`` names them, in that order. Hidden
    folders are not classes. With ``ann_file``, each line is ``path label``, labels from 0.

    A bad image is replaced in training, as :class:`VideoPairDataset` replaces a bad video.

    Args:
        data_root, data_prefix, ann_file: As in ``mmpretrain.CustomDataset``.
        allow_outside_root (bool): Allow a list to name files outside of both ``data_root`` and
            ``data_prefix``. Defaults to False.
        extensions (Sequence[str]): Of the images in class folders. Defaults to mmpretrain's,
            ``.tiff`` and ``.webp``.
        **kwargs: As in ``mmpretrain.CustomDataset``; ``max_bad_share`` as in
            :class:`VideoPairDataset`.

    Raises:
        FileNotFoundError: The folder or the list does not exist.
        ValueError: A line of the list has no label, a path is outside of the data, a class folder
            has no image, or ``classes`` names other folders.
    """

    def __init__(self, data_root: str = '', data_prefix: str | dict = '', ann_file: str = '',
                 allow_outside_root: bool = False, extensions: Sequence[str] = EXTENSIONS,
                 **kwargs: Any) -> None:
        self.allow_outside_root = allow_outside_root
        super().__init__(data_root=data_root, data_prefix=data_prefix, ann_file=ann_file,
                         extensions=extensions, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list or scan the folders."""
        if not self.ann_file and not osp.isdir(self.img_prefix):
            raise FileNotFoundError(
                f'{self.img_prefix} does not exist: set data_root and data_prefix of the dataset, '
                'for example train_dataloader.dataset.data_prefix=... (docs/imagenet.md).')
        if not self.ann_file and not self.with_label:
            return super().load_data_list()
        images = self._scan_classes() if not self.ann_file else find_labelled(
            self.ann_file, self.img_prefix, self.data_root, self.allow_outside_root,
            self.test_mode)
        return [dict(img_path=path, gt_label=label) for path, label in images]

    def _scan_classes(self) -> list[Image]:
        images = scan_classes(self.img_prefix, extensions=self.extensions)
        names = list(dict.fromkeys(path.split(osp.sep)[0] for path, _ in images))
        given = list(self.CLASSES or names)
        self._metainfo['classes'] = tuple(given)
        if len(given) == len(names) and not set(given) & set(names):
            given = names  # other names for the folders, such as words for ImageNet's ids
        unknown = [name for name in names if name not in given]
        if unknown:
            raise InputError(
                f'{self.img_prefix} has {len(names):,} class folders, but classes of the dataset '
                f'lacks {quoted(unknown)}. Name all folders, or as many classes '
                'as there are folders in sorted order, or leave classes out.')
        self.folder_to_idx = {name: given.index(name) for name in names}
        return [(osp.join(self.img_prefix, path), self.folder_to_idx[names[number]])
                for path, number in images]
