"""Labelled images in class folders or in a list, with words for what is wrong."""
import os.path as osp
from typing import Any

from mmpretrain.datasets import CustomDataset

from vicmae_mm.datasets.annotations.data_root import ALLOW, refuse_outside
from vicmae_mm.datasets.annotations.image_lists import read_list
from vicmae_mm.registry import DATASETS


@DATASETS.register_module()
class LabelledImages(CustomDataset):
    """mmpretrain's ``CustomDataset`` for local files, which must be labelled.

    Without ``ann_file`` the folders in ``data_prefix`` are the classes, in sorted order (for
    ImageNet the usual labels); with it, each line is ``path label``.

    Args:
        allow_outside_root (bool): Allow a list to name files that are neither in ``data_root``
            nor in the folder ``data_prefix``. Defaults to False.
        *args, **kwargs: Of ``mmpretrain.CustomDataset``.

    Raises:
        FileNotFoundError: If the folder or the list does not exist, with the settings to change.
        ValueError: If a line of the list has no label, or a path leads out of the data.
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
                    f'There is no {path}: set data_root and {setting} of the dataset, such as '
                    f'train_dataloader.dataset.{setting}=... (docs/imagenet.md).')
        if not self.ann_file:
            return super().load_data_list()
        images = read_list(self.ann_file)
        if not self.allow_outside_root:
            refuse_outside((name for name, _ in images), self.img_prefix, self.ann_file,
                           ALLOW, [self.data_root])
        return [dict(img_path=osp.join(self.img_prefix, name), gt_label=label)
                for name, label in images]
