"""A dataset of images for training on pairs of views, which tolerates bad files."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import find_files
from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingImages
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .innermost import build_inner, innermost_datasets


@DATASETS.register_module()
class ImagePairDataset(SkippingImages):
    """Images of a folder, of a list or of another dataset, as pairs of views.

    The pipeline begins with ``vicmae_mm.LoadImagePair``; a sample is then as one of a video. Bad
    images and randomness are as in :class:`VideoPairDataset`.

    Args:
        ann_file (str): List with or without labels, as in :class:`VideoPairDataset`. Empty: every
            image below the folder ``data_prefix``, at any depth.
        data_root (str): Root of ``ann_file`` and ``data_prefix``.
        data_prefix (str | dict): The folder, or ``dict(img_path=folder)``.
        dataset (dict | Sequence, optional): In place of all these, a dataset without a pipeline, or
            its config: any whose records have ``img_path`` or ``img``, as those of mmpretrain.
        pipeline (Sequence): Transforms.
        allow_outside_root, max_bad_share, test_mode, ...: As in :class:`VideoPairDataset`.

    Raises:
        FileNotFoundError: The list, the folder, or every image that was checked is missing.
        ValueError: There is no image, or an argument is wrong.
        TooManyBadVideosError: While reading samples.
    """

    def __init__(self, ann_file: str = '', data_root: str = '',
                 data_prefix: str | Mapping[str, str] = '', dataset: Any = None,
                 pipeline: Sequence[dict | Callable] = (), allow_outside_root: bool = False,
                 **kwargs: Any) -> None:
        folder = data_prefix if isinstance(data_prefix, str) else data_prefix.get('img_path')
        if folder is None or (dataset is None) != bool(ann_file or data_root or folder):
            raise InputError('ImagePairDataset: set either dataset, or data_root, ann_file and '
                             'data_prefix (a folder or dict(img_path=folder)).')
        self.allow_outside_root = allow_outside_root
        self.dataset_name = str(dataset) if isinstance(dataset, Mapping) else type(dataset).__name__
        self._other = build_inner('dataset of ImagePairDataset', dataset)
        super().__init__(ann_file=ann_file, data_root=data_root,
                         data_prefix=dict(img_path=folder), pipeline=list(pipeline), **kwargs)

    @property
    def source(self) -> str:
        """The list, the folder, or the config of the other dataset."""
        return super().source or self.dataset_name

    def load_data_list(self) -> Sequence[dict]:
        if self._other is not None:
            other, self._other = self._other, None  # keeps images in memory once
            return self._records(other)
        images, _ = find_files(self.ann_file, self.data_prefix['img_path'], self.data_root,
                               self.allow_outside_root, self.test_mode, noun='image',
                               extensions=EXTENSIONS)
        images.names = self.path_key, 'gt_label'
        self.serialize_data = False  # processes share the index as it is
        return images

    def _records(self, other: Any) -> list[dict]:
        """The records of another dataset; ``img_path`` is '' for an image in memory."""
        read = getattr(other, 'get_data_info', None)
        records = [dict(read(index)) for index in range(len(other))] if read else []
        if not records or any(getattr(getattr(each, 'pipeline', None), 'transforms', ())
                              for each in innermost_datasets(other)):
            problem = 'a pipeline: move it here' if records else 'none'
            raise InputError('ImagePairDataset reads the records (get_data_info) of '
                             f'{self.source}, which has {problem}.')
        for record in records:
            path = record['img_path'] = record.get('img_path') or ''
            if not isinstance(path, str) or '://' in path or not (path or 'img' in record):
                raise InputError('ImagePairDataset: a record has neither the path of a local image '
                                 f'(img_path) nor an image (img), but {record}.')
        return records
