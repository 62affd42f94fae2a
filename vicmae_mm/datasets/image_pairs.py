"""A dataset of images for training on pairs of views, which tolerates bad files."""
import os.path as osp
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vicmae_mm.datasets.annotations.data_root import ALLOW, refuse_outside
from vicmae_mm.datasets.annotations.files_below import files_below, report_scan
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import NO_LABEL, read_annotations
from vicmae_mm.datasets.bad_videos.skipping_images import SkippingImages
from vicmae_mm.datasets.readers.base import retried
from vicmae_mm.registry import DATASETS


@DATASETS.register_module()
class ImagePairDataset(SkippingImages):
    """Images of a folder, of a list or of another dataset, as pairs of views.

    The pipeline begins with ``vicmae_mm.LoadImagePair``; a sample is then that of a pair of video
    frames. Bad images and randomness are as in :class:`VideoPairDataset`.

    Args:
        ann_file (str): Text list or ``.csv`` with or without labels, in the format of
            :func:`read_annotations`, relative to ``data_root``. Empty: every image below the
            folder ``data_prefix``, at any depth.
        data_root (str): Root of ``ann_file`` and ``data_prefix``.
        data_prefix (str | dict): Folder that paths are relative to, or ``dict(img_path=folder)``.
        dataset (dict | Sequence, optional): A dataset in place of the folder or list, or its
            config, without a pipeline: any of mmpretrain or of mmengine's wrappers whose records
            have ``img_path`` or ``img``. It is read once, at the start.
        pipeline (Sequence): Transforms.
        allow_outside_root, max_bad_share, test_mode, ...: As in :class:`VideoPairDataset`.
        extensions (Sequence[str]): Of the images in a folder.

    Raises:
        FileNotFoundError: The list or the folder is missing.
        ValueError: There is no image, or an argument is wrong.
        TooManyBadVideosError: While reading samples.
    """

    def __init__(self, ann_file: str = '', data_root: str = '',
                 data_prefix: str | Mapping[str, str] = '',
                 dataset: Any = None, pipeline: Sequence[dict | Callable] = (),
                 allow_outside_root: bool = False, extensions: Sequence[str] = EXTENSIONS,
                 **kwargs: Any) -> None:
        self.allow_outside_root = allow_outside_root
        self.extensions = extensions
        self._records = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        if isinstance(data_prefix, str):
            data_prefix = dict(img_path=data_prefix)
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=dict(data_prefix),
                         pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the dataset or the list, or scan the folder."""
        if self._records is not None:
            records = [self._records.get_data_info(index) for index in range(len(self._records))]
            return [dict(record, img_path=record.get('img_path') or '') for record in records]
        folder = self.data_prefix['img_path']
        if self.ann_file:
            images = read_annotations(self.ann_file, folder)
            if not self.allow_outside_root:
                refuse_outside((path for path, _ in images), folder, self.ann_file, ALLOW,
                               [self.data_root])
        else:
            ignored: Counter[str] = Counter()
            images = [(path, NO_LABEL) for path in files_below(folder, self.extensions, ignored)]
            report_scan(folder, images, 'images', ignored)
        return [dict(img_path=osp.join(folder, path),
                     **({} if label == NO_LABEL else dict(gt_label=label)))
                for path, label in images]

    @retried
    def _transform(self, info: dict) -> Any:
        return self.pipeline(info)  # LoadImagePair says which images are bad
