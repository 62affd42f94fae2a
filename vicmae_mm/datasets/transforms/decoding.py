"""Opening a video and decoding frames that transforms in between have chosen; loading an image."""
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vicmae_mm.datasets.readers import (
    IndexStore,
    VideoError,
    VideoReader,
    check_backend,
    open_video,
)
from vicmae_mm.datasets.readers.base import naming_file
from vicmae_mm.datasets.readers.image_or_video import decode_image
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError, RunError

from .shown import ShownTransform


@TRANSFORMS.register_module()
class VideoInit(ShownTransform):
    """Open a video, in place of mmaction2's ``DecordInit`` and frame-accurately.

    Required keys: ``filename``; ``segment`` (optional, begin and end in seconds since the first
    frame, the end not included).

    Added keys: ``video_reader`` (:class:`~vicmae_mm.datasets.readers.VideoReader`),
    ``total_frames`` (int, the number of frames that decode), ``avg_fps`` (float, frames per
    second). With ``segment``, ``total_frames`` counts those shown in it, and ``start_index`` is the
    first of them.

    Args:
        backend: ``'pyav'``, ``'torchcodec'`` or ``'decord'``. Defaults to ``'pyav'``.
        index_dir: Folder in which to keep an index of each video, so that a video is analysed only
            when it is first opened: about 9 kB per 10 s of video, used while the video's size and
            modification time stay the same. None or False: keep nothing. Only for ``'pyav'``.
            Defaults to True: a folder of limited size in the user's cache folder
            (:meth:`IndexStore.in_cache`).
        device: Where ``'torchcodec'`` decodes: ``'cuda'`` is the current GPU of the reading
            process. A forked process cannot use it, so training then needs ``num_workers=0`` and
            ``decode_timeout=None`` of the dataset. Defaults to ``'cpu'``.

    Raises:
        ValueError: The backend is unknown, or does not support ``index_dir`` or ``device``;
            ``index_dir`` is not a folder; or, when transforming, a record lacks ``filename``, or
            has a ``start_index`` other than 0, which would shift the frames of a video.
        ImportError: The backend's package is not installed.
        RuntimeError: The reading process cannot use the device (when transforming).
        VideoError: The file cannot be opened as a video, or has no frame in the segment (when
            transforming).
    """

    def __init__(self, backend: str = 'pyav', index_dir: str | Path | bool | None = True,
                 device: str = 'cpu') -> None:
        check_backend(backend)
        is_folder = index_dir is not None and not isinstance(index_dir, bool)
        if is_folder and not (isinstance(index_dir, (str, Path)) and str(index_dir)):
            raise InputError(f'VideoInit: index_dir={index_dir!r} should be the path of a folder, '
                             "True (the user's cache folder) or None (keep no indexes).")
        if is_folder and backend != 'pyav':
            raise InputError(f"VideoInit: index_dir={index_dir!r} only works with backend='pyav', "
                             f'not with {backend!r}. Leave one out.')
        if device != 'cpu' and backend != 'torchcodec':
            raise InputError(f"VideoInit: device={device!r} only works with backend='torchcodec', "
                             f'not with {backend!r}. Leave one out.')
        self.backend, self.device = backend, device
        self._store = IndexStore(str(index_dir)) if is_folder else (
            IndexStore.in_cache() if index_dir and backend == 'pyav' else None)
        self.index_dir = self._store.folder if self._store else None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'filename' not in results:
            raise InputError("VideoInit needs the path of a video, results['filename'], and there "
                             'is none. The frames of a RawframeDataset are read by '
                             'mmaction.RawFrameDecode.')
        if results.get('start_index', 0):
            raise InputError(f'{results["filename"]}: start_index={results["start_index"]} of the '
                             'dataset would shift all frames, since those of videos are numbered '
                             'from 0: set start_index=0.')
        # Not in __init__: a process that has initialised CUDA forks workers that cannot use it.
        if self.device != 'cpu':
            self._check_device()
        try:
            reader = open_video(results['filename'], self.backend, self._store, self.device)
            times = reader.frame_times if results.get('segment') else None
        except VideoError as error:
            error.whole_file = True
            raise
        results.update(video_reader=reader, total_frames=reader.num_frames, avg_fps=reader.fps)
        if times is not None:
            first, end = (int(np.searchsorted(times, time)) for time in results['segment'])
            if first == end:
                reader.close()
                raise VideoError(reader.path, 'has no frame there: the last of its '
                                 f'{reader.num_frames} frames is at {times[-1]:.3f} s')
            results['start_index'], results['total_frames'] = first, end - first
        return results

    def _check_device(self) -> None:
        try:
            torch.empty(0, device=self.device)
        except (AssertionError, RuntimeError) as error:
            raise RunError(
                f'VideoInit: device={self.device!r} cannot be used in this process '
                f'({str(error).strip().splitlines()[0]}). It needs a GPU and a process that is not '
                'forked: set train_dataloader.num_workers=0 and decode_timeout=None of the '
                'dataset, or leave out device to decode on the CPU.') from error


@TRANSFORMS.register_module()
class VideoDecode(ShownTransform):
    """Decode the chosen frames and close the video, in place of mmaction2's ``DecordDecode``.

    Required keys: ``video_reader``, ``frame_inds`` (integers in [0, total_frames), any shape).

    Modified keys: ``frame_inds`` (flattened), ``video_reader`` (None), and, as in
    ``DecordDecode``, ``gt_bboxes`` and ``proposals`` (from shares of the frame to pixels).

    Added keys: ``imgs`` (list of (H, W, 3) uint8 RGB arrays, one per index in the given order),
    ``original_shape`` and ``img_shape`` ((height, width) of the first).

    Raises:
        VideoError: A frame does not decode.
        ValueError: ``video_reader`` is not of ``VideoInit`` or a dataset of packed frames.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(results.get('video_reader'), VideoReader):
            found = type(results.get('video_reader'))
            raise InputError(
                'VideoDecode needs a video that vicmae_mm.VideoInit has opened before it in the '
                'pipeline, but there is '
                + ('nothing open' if found is type(None) else
                   f'a reader of another library, {found.__module__}.{found.__qualname__}')
                + '. Put VideoInit before it, once for each VideoDecode, or use the Decode of the '
                'same library as the Init.')
        if 'frame_inds' not in results:
            raise InputError('VideoDecode decodes the frames results["frame_inds"], which no '
                             'transform has chosen: put SampleFramePair, mmaction.SampleFrames or '
                             'a similar one before it.')
        results['frame_inds'] = np.asarray(results['frame_inds']).reshape(-1)
        with results['video_reader'] as reader:
            # An open reader cannot be pickled, which a sample from a worker must be.
            results['video_reader'] = None
            results['imgs'] = reader.get_frames(results['frame_inds'])
        height, width = results['original_shape'] = results['img_shape'] = (
            results['imgs'][0].shape[:2])
        if 'gt_bboxes' in results:
            for name in ('gt_bboxes', 'proposals'):
                if results.get(name) is not None:
                    results[name] = (
                        results[name] * np.array([width, height] * 2)).astype(np.float32)
        return results


@TRANSFORMS.register_module()
class LoadImagePair(ShownTransform):
    """Load an image as a video of one frame, whose pair is that frame twice.

    Required keys: ``img_path``, a local file, or ``img``, what :func:`decode_image` takes (RGB).

    Added keys: ``imgs`` (list of ``num_frames`` (H, W, 3) uint8 RGB arrays), ``original_shape``,
    ``img_shape``, ``filename`` (of an image in memory a name that depends on its pixels),
    ``total_frames`` (1), and those of :class:`SampleFramePair`.

    Args:
        num_frames (int): 2, or 1 (the MAE baseline).

    Raises:
        ValueError: ``num_frames`` is neither, or (when transforming) there is no image.
        VideoError: The file cannot be decoded (when transforming).
    """

    def __init__(self, num_frames: int = 2) -> None:
        if num_frames not in (1, 2):
            raise InputError(f'LoadImagePair: num_frames={num_frames!r} should be 2 (a pair) or 1 '
                             '(the MAE baseline).')
        self.num_frames = num_frames

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if path := results.get('img_path'):
            try:
                with naming_file(path):
                    image = decode_image(path)
            except InputError as error:
                raise VideoError(path, str(error)) from error
        elif 'img' in results:
            image = decode_image(results.pop('img'))
        else:
            raise InputError("LoadImagePair needs results['img_path'] or results['img']: it begins "
                             'the pipeline of vicmae_mm.ImagePairDataset; VideoInit opens videos.')
        results.update(
            # Copies, because transforms may change a frame in place.
            imgs=[image.copy() for _ in range(self.num_frames)],
            filename=path or f'image in memory {blake2b(image.data, digest_size=8).hexdigest()}',
            original_shape=image.shape[:2], img_shape=image.shape[:2], total_frames=1,
            clip_len=self.num_frames, frame_inds=np.zeros(self.num_frames, np.int64), num_clips=1,
            frame_interval=1)
        return results
