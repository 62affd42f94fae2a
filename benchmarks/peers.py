"""Readers of other projects, each left out where its package is not installed.

They are optional: ``pip install torchcodec webdataset``, and, as decord2 is imported by the name of
decord, ``pip install --target FOLDER decord2`` with ``--decord2 FOLDER``.
"""
import ctypes
import os
import random
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np


class Peer(NamedTuple):
    """A reader: opens a path, which has a length, and gets frames (N, H, W, 3) by number."""
    open: Callable[[str], Any]
    get_frames: Callable[[Any, list[int]], np.ndarray]


class NotInstalledError(Exception):
    """A peer's package cannot be imported."""


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (ImportError, RuntimeError, OSError) as error:  # torchcodec without FFmpeg's libraries
        raise NotInstalledError(name) from error


def find_peers(decord2_in: str | None) -> dict[str, Peer | None]:
    """Other readers of videos; None if not installed."""
    found: dict[str, Peer | None] = {}
    for name, make in (('torchcodec, exact', torchcodec_exact),
                       ('decord2', partial(decord2, decord2_in))):
        found[name] = None
        with suppress(NotInstalledError):
            found[name] = make()
    return found


def torchcodec_exact() -> Peer:
    """Torchcodec, which scans the file first, in one thread."""
    decoder = _module('torchcodec.decoders').VideoDecoder
    return Peer(lambda path: decoder(path, seek_mode='exact', dimension_order='NHWC',
                                     num_ffmpeg_threads=1),
                lambda video, numbers: video.get_frames_at(numbers).data.numpy())


def decord1() -> Peer:
    """Decord, or what is installed by its name."""
    reader = _module('decord').VideoReader
    return Peer(lambda path: reader(path, num_threads=1),
                lambda video, numbers: video.get_batch(numbers).asnumpy())


def decord2(folder: str | None) -> Peer:
    """Decord2 in a folder, to be called before decord is imported."""
    if folder is None or 'decord' in sys.modules:
        raise NotInstalledError('decord2')
    # Both load their library for all to see, and the symbols of one crash the other.
    ctypes.RTLD_GLOBAL = ctypes.RTLD_LOCAL  # type: ignore[misc]
    sys.path.insert(0, folder)
    try:
        return decord1()
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.partition('.')[0] == 'decord']:
            del sys.modules[name]


def transforms(peer: Peer, sample: dict) -> tuple[Callable, dict, Callable]:
    """Transforms in the place of ``VideoInit`` and ``VideoDecode``, and ``sample`` between them."""
    def init(results: dict) -> dict:
        video = peer.open(results['filename'])
        return results | dict(video_reader=video, total_frames=len(video))

    def decode(results: dict) -> dict:
        frames = list(peer.get_frames(results.pop('video_reader'), results['frame_inds'].tolist()))
        shape = frames[0].shape[:2]
        return results | dict(imgs=frames, original_shape=shape, img_shape=shape)
    return init, sample, decode


def webdataset_cv2(folder: str) -> Callable[[int], object]:
    """Pairs of the JPEG files in the folders of a folder, from a tar by cv2's functions.

    Whatever number is asked for, it is the next video: webdataset reads in the order of the tar.
    """
    webdataset = _module('webdataset')
    with tarfile.open(f'{folder}/shard.tar', 'w') as tar:
        for video in sorted(os.listdir(folder)):
            for file in sorted(Path(folder, video).glob('*.jpg')):
                tar.add(file, f'{video}.{file.stem}.jpg')
    videos: Iterator[dict] = iter(webdataset.WebDataset(
        f'{folder}/shard.tar', shardshuffle=False).repeat())

    def read(number: int) -> np.ndarray:
        files = [data for name, data in next(videos).items() if name.endswith('.jpg')]
        images = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                  for data in random.choices(files, k=2)]
        return np.stack([_crop_cv2(np.asarray(image)) for image in images])
    return read


def _crop_cv2(image: np.ndarray) -> np.ndarray:
    """A random crop of 0.5 to 1 of the area, resized to 224 and flipped, as planes."""
    height, width = image.shape[:2]
    area, ratio = random.uniform(.5, 1) * height * width, np.exp(random.uniform(-.288, .288))
    h, w = (min(int(area ** .5 * ratio ** sign), size)
            for sign, size in ((-.5, height), (.5, width)))
    top, left = random.randint(0, height - h), random.randint(0, width - w)
    image = cv2.resize(image[top:top + h, left:left + w], (224, 224))
    image = cv2.flip(image, 1) if random.random() < .5 else image
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).transpose(2, 0, 1))


def torchvision_v2(folder: str) -> Callable[[int], object]:
    """The pair of a video in a folder of folders of JPEG files, by torchvision's functions."""
    v2, images, torch = _module('torchvision.transforms.v2'), _module('torchvision.io'), _module(
        'torch')
    crop = v2.Compose([v2.RandomResizedCrop(224, (.5, 1.), antialias=True),
                       v2.RandomHorizontalFlip()])
    files = [sorted(map(str, Path(folder, video).glob('*.jpg')))
             for video in sorted(os.listdir(folder), key=lambda name: (len(name), name))
             if os.path.isdir(os.path.join(folder, video))]

    def read(number: int) -> object:
        return torch.stack([crop(images.decode_image(images.read_file(file)))
                            for file in random.choices(files[number], k=2)])
    return read
