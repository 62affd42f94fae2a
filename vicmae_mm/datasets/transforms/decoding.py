"""Opening a video and decoding the frames that the transforms in between chose."""
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from vicmae_mm.datasets.readers import IndexStore, check_backend, open_video
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError, RunError


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video: what mmaction2's ``DecordInit`` does, frame-accurately.

    Required keys: ``filename``.

    Added keys: ``video_reader`` (:class:`~vicmae_mm.datasets.readers.VideoReader`),
    ``total_frames`` (int, what decodes), ``avg_fps`` (float, frames a second).

    Args:
        backend: ``'pyav'``, ``'torchcodec'`` or ``'decord'``.
        index_dir: Folder to keep what was found out about each video in, so that it is found out
            once: about 7 kB for 10 s of video, made when a video is first opened, used while the
            video's size and time of change stay. For ``'pyav'`` only. Nothing is kept if None.
        device: Where ``'torchcodec'`` decodes: ``'cuda'`` is the current GPU of the process that
            reads. A forked process can't use it, so that training needs ``num_workers=0`` and the
            dataset ``decode_timeout=None``. Defaults to ``'cpu'``.

    Raises:
        ValueError: There is no such backend, or it makes no use of ``index_dir`` or ``device``.
        ImportError: The package of the backend is not installed.
        RuntimeError: The device can't be used in the process that reads (when transforming).
        VideoError: The file can't be opened as a video (when transforming).
    """

    def __init__(self, backend: str = 'pyav', index_dir: str | None = None,
                 device: str = 'cpu') -> None:
        check_backend(backend)
        if index_dir is not None and backend != 'pyav':
            raise InputError(f"VideoInit: index_dir={index_dir!r} is of use to backend='pyav' "
                             f'alone, not to {backend!r}. Leave one out.')
        if device != 'cpu' and backend != 'torchcodec':
            raise InputError(f"VideoInit: device={device!r} is of use to backend='torchcodec' "
                             f'alone, not to {backend!r}. Leave one out.')
        self.backend = backend
        self.index_dir = index_dir
        self.device = device
        self._store = None if index_dir is None else IndexStore(index_dir)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Open ``results['filename']``."""
        if self.device != 'cpu':
            _check_device(self.device)
        reader = open_video(results['filename'], self.backend, self._store, self.device)
        results['video_reader'] = reader
        results['total_frames'] = reader.num_frames
        results['avg_fps'] = reader.fps
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(backend={self.backend!r}, index_dir={self.index_dir!r}, '
                f'device={self.device!r})')


def _check_device(device: str) -> None:
    # Here, not before workers are forked: what has touched a GPU leaves its forks without one.
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise RunError(
            f'VideoInit: device={device!r} can not be used in this process '
            f'({str(error).strip().splitlines()[0]}). It takes a GPU, and a process that is not '
            'forked: set train_dataloader.num_workers=0 and decode_timeout=None of the dataset, '
            'or leave out device to decode on the CPU.') from error


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the chosen frames and close the video: what mmaction2's ``DecordDecode`` does.

    Required keys: ``video_reader``, ``frame_inds`` (integers in [0, total_frames), any shape).

    Modified keys: ``frame_inds`` (flattened), ``video_reader`` (None).

    Added keys: ``imgs`` (list of HxWx3 uint8 RGB arrays, one for each index, in their order),
    ``original_shape`` and ``img_shape`` ((height, width) of the first).

    Raises:
        VideoError: A frame does not decode.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode ``results['frame_inds']``."""
        results['frame_inds'] = np.asarray(results['frame_inds']).reshape(-1)
        with results['video_reader'] as reader:
            results['video_reader'] = None
            results['imgs'] = reader.get_frames(results['frame_inds'])
        results['original_shape'] = results['img_shape'] = results['imgs'][0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
