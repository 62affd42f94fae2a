"""A dataset of images for training on pairs of views, which tolerates bad files."""
import os.path as osp
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vicmae_mm.datasets.annotations.data_root import ALLOW, refuse_outside
from vicmae_mm.datasets.annotations.files_below import files_below, report_scan
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import NO_LABEL, check_files, read_annotations
from vicmae_mm.datasets.bad_videos.skipping_images import SkippingImages
from vicmae_mm.datasets.readers.base import retried
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .innermost import innermost_datasets, place


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
                 data_prefix: str | Mapping[str, str] = '', dataset: Any = None,
                 pipeline: Sequence[dict | Callable] = (), allow_outside_root: bool = False,
                 extensions: Sequence[str] = EXTENSIONS, **kwargs: Any) -> None:
        folder = dict(img_path=data_prefix) if isinstance(data_prefix, str) else dict(data_prefix)
        if folder.keys() != {'img_path'}:
            raise InputError(f'ImagePairDataset: data_prefix={data_prefix!r} should be a folder or '
                             'dict(img_path=folder).')
        if (dataset is None) != bool(ann_file or data_root or folder['img_path']):
            raise InputError(
                'ImagePairDataset reads the images of a folder (data_root, data_prefix), of a list '
                '(ann_file) or of another dataset (dataset=dict(type=...)): set '
                f'{"one" if dataset is None else "only one"} of them.')
        self.allow_outside_root = allow_outside_root
        self.extensions = extensions
        self._other = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self._places = ', '.join(dict.fromkeys(map(place, innermost_datasets(self._other))))
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folder,
                         pipeline=list(pipeline), **kwargs)

    @property
    def source(self) -> str:
        """The list or the folder, also of the other dataset."""
        return super().source or self._places

    def load_data_list(self) -> list[dict]:
        """Read the dataset or the list, or scan the folder."""
        if self._other is not None:
            other, self._other = self._other, None  # images in memory are kept once
            return _records(other)
        self.check_places()
        folder = self.data_prefix['img_path']
        if self.ann_file:
            images = read_annotations(self.ann_file, folder)
            if not self.allow_outside_root:
                refuse_outside((path for path, _ in images), folder, self.ann_file, ALLOW,
                               [self.data_root])
        else:
            ignored: Counter[str] = Counter()
            images = [(path, NO_LABEL) for path in files_below(folder, self.extensions, ignored)]
            if not images:
                raise InputError(f'No image found in {folder!r} or its subfolders. Known '
                                 f'extensions: {" ".join(self.extensions)}. Found: '
                                 f'{", ".join(sorted(ignored)) or "nothing"}.')
            report_scan(folder, images, 'images', ignored)
        images = [(osp.join(folder, path), label) for path, label in images]
        if self.ann_file:
            check_files([path for path, _ in images], self.ann_file, folder, self.data_root,
                        self.test_mode, 'image')
        return [dict(img_path=path, gt_label=label) for path, label in images]

    @retried
    def _transform(self, info: dict) -> Any:
        return self.pipeline(info)  # LoadImagePair says which images are bad


def _records(dataset: Any) -> list[dict]:
    """The records of another dataset; ``img_path`` is '' for an image in memory."""
    kind = type(dataset).__name__
    for each in innermost_datasets(dataset):
        if getattr(getattr(each, 'pipeline', None), 'transforms', ()):
            raise InputError(f'ImagePairDataset does not use the pipeline of the {kind} that it '
                             'reads: move it to ImagePairDataset, after LoadImagePair.')
    if not hasattr(dataset, 'get_data_info') or not len(dataset):
        what = 'is empty' if hasattr(dataset, 'get_data_info') else 'has no get_data_info()'
        raise InputError(f'ImagePairDataset cannot read the records of {kind}: it {what}.')
    records = [dataset.get_data_info(index) for index in range(len(dataset))]
    for record in records:
        path = record.get('img_path')
        if 'img' not in record and not (isinstance(path, str) and '://' not in path):
            raise InputError(f'ImagePairDataset cannot read {kind}: a record has neither the path '
                             f'of a local image (img_path) nor an image (img), but {record}.')
        record['img_path'] = path or ''
    return records
