"""Videos with labels: DAVIS-2017, VIP and JHMDB, in the layout that they are published in."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmpretrain.evaluation.metrics import ConfusionMatrix
from PIL import Image
from scipy.io import loadmat
from torch import Tensor

from vicmae_mm.datasets.readers.image_or_video import decode_image
from vicmae_mm.evaluation import keypoint_accuracy as pck
from vicmae_mm.evaluation.label_propagation import class_shares, likeliest_classes
from vicmae_mm.evaluation.region_similarity import average_objects, mean_iou, score_objects
from vicmae_mm.utils.errors import InputError, some_of


class LabelledVideo(NamedTuple):
    """A video: its frames, and a mask for each of them or one file of joints."""

    name: str
    frames: list[Path]
    labels: list[Path]


def read_frame(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) RGB, uint8; a ValueError names a file that cannot be read."""
    try:
        return decode_image(path, upright=False)
    except (OSError, ValueError) as error:
        raise InputError(f'The frame {path} cannot be read: {error}') from error


class Davis:
    """DAVIS-2017, validation: masks of objects, scored by J&F.

    Raises:
        ValueError: Here and in the methods, if a file is missing or not what it should be.
    """

    size: tuple[int, ...] = (480, 880)  # of the input: height and width, or its long side
    top_k = 7
    source = 'It is TrainVal 480p of https://davischallenge.org/davis2017/code.html'
    places = 'ImageSets/2017/val.txt', 'JPEGImages/480p', 'Annotations/480p'
    shortest = 3  # frames; the first and the last one do not count
    num_classes = 255  # larger numbers are void

    def __init__(self, root: str | Path) -> None:
        self.paths = [Path(root).expanduser() / place for place in self.places]
        missing = [str(path) for path in self.paths if not path.exists()]
        if missing:
            raise InputError(f'{some_of(missing)} does not exist: --data-root should have '
                             f'{", ".join(self.places)}. {self.source}')

    def videos(self) -> list[LabelledVideo]:
        """All videos, complete, in the order of the list."""
        videos = []
        for name in self.paths[0].read_text().split():
            frames, masks = (self._files(folder / name) for folder in self.paths[1:])
            if [path.stem for path in frames] != [path.stem for path in masks]:
                raise InputError(f'{frames[0].parent} and {masks[0].parent} should have files of '
                                 f'the same names: a mask for each frame. {self.source}')
            videos.append(LabelledVideo(name, frames, masks))
        return videos

    def _files(self, folder: Path) -> list[Path]:
        files = [path for path in folder.glob('[!.]*') if path.suffix in ('.jpg', '.png')]
        if len(files) < self.shortest or not all(path.stem.isdecimal() for path in files):
            raise InputError(f'{folder} should have .jpg or .png files, {self.shortest} or more, '
                             f'named by numbers; it has {len(files)}. {self.source}')
        return sorted(files, key=lambda path: int(path.stem))

    def first_labels(self, video: LabelledVideo, grid: Sequence[int]) -> Tensor:
        """Labels (K, h, w) of the first frame: of a mask, the shares of its classes."""
        mask = torch.from_numpy(self._masks(video.labels[:1])[0])
        mask[mask >= self.num_classes] = 0
        return class_shares(mask, grid)

    def predict(self, video: LabelledVideo, labels: Tensor) -> np.ndarray:
        """The mask (H, W), uint8, as large as the annotated ones, or joints (2, J) in px."""
        with Image.open(video.labels[0]) as image:
            return likeliest_classes(labels, (image.height, image.width))

    def score(self, video: LabelledVideo, predicted: list[np.ndarray]) -> list[Any]:
        """Score the predictions for all frames; :meth:`average` takes lists of this."""
        return score_objects(self._masks(video.labels), np.stack(predicted))

    def average(self, scores: Sequence[list[Any]]) -> dict[str, float]:
        """Metrics of some videos together, 0 to 1, by name; the first is the main one."""
        return average_objects([score for video in scores for score in video])

    @staticmethod
    def _masks(paths: Sequence[Path]) -> np.ndarray:
        masks = []
        for path in paths:
            try:
                with Image.open(path) as image:
                    masks.append(np.array(image))
            except (OSError, ValueError) as error:
                raise InputError(f'{path} cannot be read: {error}') from error
            if masks[-1].shape != masks[0].shape[:2] or masks[-1].dtype != np.uint8:
                raise InputError(f'{path} should have 8-bit numbers of labels, not colours, and be '
                                 f'as large as {paths[0]}.')
        return np.stack(masks)


class Vip(Davis):
    """VIP, validation: masks of 19 parts of persons, scored by mIoU over all frames."""

    size = (880, )
    top_k = 10
    source = 'It is VIP_Fine of https://github.com/HCPLab-SYSU/ATEN'
    places = 'lists/val_videos.txt', 'Images', 'Annotations/Category_ids'
    shortest = 2
    num_classes = 20

    def score(self, video: LabelledVideo, predicted: list[np.ndarray]) -> list[Any]:
        pairs = ((mask[truth < self.num_classes], truth[truth < self.num_classes])
                 for mask, truth in zip(predicted, self._masks(video.labels), strict=True))
        return sum(ConfusionMatrix.calculate(*pair, self.num_classes) for pair in pairs).tolist()

    def average(self, scores: Sequence[list[Any]]) -> dict[str, float]:
        return {'mIoU': mean_iou(np.sum(scores, axis=0))}


class Jhmdb(Davis):
    """JHMDB, test videos of the first split: 15 joints, scored by PCK."""

    size = (320, 320)
    source = 'These are three downloads of http://jhmdb.is.tue.mpg.de'
    places = 'splits', 'Rename_Images', 'joint_positions'
    shortest = 2

    def videos(self) -> list[LabelledVideo]:
        names = [f'{path.name.removesuffix("_test_split1.txt")}/{Path(words[0]).stem}'
                 for path in sorted(self.paths[0].glob('*_test_split1.txt'))
                 for words in map(str.split, path.read_text().splitlines()) if words[1:] == ['2']]
        if not names:
            raise InputError(f'{self.paths[0]} has no file like wave_test_split1.txt with lines '
                             f'"VIDEO.avi 2". {self.source}')
        return [LabelledVideo(name, self._files(self.paths[1] / name),
                              [self.paths[2] / name / 'joint_positions.mat']) for name in names]

    def _joints(self, video: LabelledVideo) -> np.ndarray:
        """x and y (2, 15, T), in px from 0."""
        try:
            joints = np.asarray(loadmat(video.labels[0])['pos_img'], float) - 1
            if joints.shape != (2, 15, min(joints.shape[-1], len(video.frames))):
                raise ValueError(f'its shape is {joints.shape}')
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise InputError(f'{video.labels[0]} should have pos_img of 2 x 15 x at most '
                             f'{len(video.frames)} frames: {error}') from error
        return joints

    def _scale(self, video: LabelledVideo, grid: Sequence[int]) -> Tensor:
        """Cells per px, in x and y (2, 1)."""
        with Image.open(video.frames[0]) as image:
            return torch.tensor([[grid[1] / image.width], [grid[0] / image.height]])

    def first_labels(self, video: LabelledVideo, grid: Sequence[int]) -> Tensor:
        joints = torch.from_numpy(self._joints(video)[..., 0])
        return pck.draw_keypoints(joints * self._scale(video, grid), grid)

    def predict(self, video: LabelledVideo, labels: Tensor) -> np.ndarray:
        return (pck.locate_keypoints(labels.cpu()) / self._scale(video, labels.shape[1:])).numpy()

    def score(self, video: LabelledVideo, predicted: list[np.ndarray]) -> list[Any]:
        truth = self._joints(video)
        joints = np.stack(predicted, axis=2)[..., :truth.shape[2]]
        return pck.count_keypoints(truth, joints, (0.1, 0.2)).tolist()

    def average(self, scores: Sequence[list[Any]]) -> dict[str, float]:
        accuracy = pck.keypoint_accuracy(np.sum(scores, axis=0))
        return dict(zip(('PCK@0.1', 'PCK@0.2'), accuracy, strict=True))
