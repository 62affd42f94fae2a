"""Opening a video and decoding the frames that the transforms in between chose."""
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from ..readers import IndexStore, check_backend, open_video


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video: what mmaction2's ``DecordInit`` does, frame-accurately.

    Required keys: ``filename``.

    Added keys: ``video_reader`` (:class:`~vicmae_mm.datasets.readers.VideoReader`),
    ``total_frames`` (int, what decodes), ``avg_fps`` (float, frames a second).

    Args:
        backend: ``'pyav'``, ``'torchcodec'`` or ``'decord'``.
        index_dir: Folder to keep what was found out about each video in, so that it is found out
            once: about 10 kB a video, made when a video is first opened, used while the video's
            size and time of change stay. For ``'pyav'`` only. Nothing is kept if None.

    Raises:
        ValueError: There is no such backend, or it makes no use of ``index_dir``.
        ImportError: The package of the backend is not installed.
        VideoError: The file can't be opened as a video (when transforming).
    """

    def __init__(self, backend: str = 'pyav', index_dir: str | None = None) -> None:
        check_backend(backend)
        if index_dir is not None and backend != 'pyav':
            raise ValueError(f"VideoInit: index_dir={index_dir!r} is of use to backend='pyav' "
                             f'alone, not to {backend!r}. Leave one out.')
        self.backend = backend
        self.index_dir = index_dir
        self._store = None if index_dir is None else IndexStore(index_dir)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Open ``results['filename']``."""
        reader = open_video(results['filename'], self.backend, self._store)
        results['video_reader'] = reader
        results['total_frames'] = reader.num_frames
        results['avg_fps'] = reader.fps
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend={self.backend!r}, index_dir={self.index_dir!r})'


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
