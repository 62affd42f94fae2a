"""Labelled images in class folders or in a list, with errors that say what to change."""
import os.path as osp
from typing import Any

from mmpretrain.datasets import CustomDataset

from vicmae_mm.datasets.annotations.data_root import ALLOW, refuse_outside
from vicmae_mm.datasets.annotations.image_lists import read_list
from vicmae_mm.registry import DATASETS


@DATASETS.register_module()
class LabelledImages(CustomDataset):
    """mmpretrain's ``CustomDataset`` for labelled local files, with errors that say what to change.

    Without ``ann_file``, the folders in ``data_prefix`` are the classes, in sorted order (for
    ImageNet these are the usual labels). With it, each line is ``path label``, labels from 0.

    Args:
        allow_outside_root (bool): Allow a list to name files outside of both ``data_root`` and
            ``data_prefix``. Defaults to False.
        *args, **kwargs: As in ``mmpretrain.CustomDataset``.

    Raises:
        FileNotFoundError: The folder or the list does not exist.
        ValueError: A line of the list has no label, or a path is outside of the data.
    """

    def __init__(self, *args: Any, allow_outside_root: bool = False, **kwargs: Any) -> None:
        self.allow_outside_root = allow_outside_root
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list or scan the folders."""
        for setting, path, exists in (('data_prefix', self.img_prefix, osp.isdir),
                                      ('ann_file', self.ann_file, osp.isfile)):
            if path and not exists(path):
                raise FileNotFoundError(
                    f'{path} does not exist: set data_root and {setting} of the dataset, for '
                    f'example train_dataloader.dataset.{setting}=... (docs/imagenet.md).')
        if not self.ann_file:
            return super().load_data_list()
        images = read_list(self.ann_file)
        if not self.allow_outside_root:
            refuse_outside((name for name, _ in images), self.img_prefix, self.ann_file,
                           ALLOW, [self.data_root])
        return [dict(img_path=osp.join(self.img_prefix, name), gt_label=label)
                for name, label in images]
