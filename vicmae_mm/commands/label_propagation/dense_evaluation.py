"""The loop over the videos of a dataset, and its results."""
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.commands.result_files import markdown_table, write_result_files
from vicmae_mm.evaluation.label_propagation import LabelPropagation
from vicmae_mm.models import Encoder
from vicmae_mm.utils.progress import Progress, say

from .datasets import Davis, LabelledVideo, read_frame
from .label_pictures import draw_labels, write_masks


@dataclass(frozen=True)
class DenseEvaluation:
    """Label propagation with an encoder, scored on a dataset."""

    dataset: Davis
    encoder: Encoder
    size: tuple[int, ...]  # of the input in px: height and width, or its long side
    settings: LabelPropagation
    checkpoint: str  # for the title
    key: str  # from checkpoint_key
    table: Path  # the JSON file; masks and pictures are written next to it
    masks: bool = False
    pictures: bool = False

    def score(self, videos: dict[str, LabelledVideo], chosen: Sequence[str]) -> list[str]:
        """Score the chosen ones of all videos; return the lines of the table.

        The table, which is written after every video, has all that were scored with the same
        settings and files. These are not scored again.
        """
        keys = {name: self._key(video) for name, video in videos.items()}
        results = _read_results(self.table, keys)
        todo = [videos[name] for name in chosen if name not in results or not all(
            path.exists() for path in chain(*self._outputs(videos[name])))]
        with Progress('Propagating', sum(len(video.frames) for video in todo)) as progress:
            for video in todo:
                predicted = self._predict(video, progress)
                masks, pictures = self._outputs(video)
                write_masks(masks, predicted)
                for path in pictures:
                    draw_labels(path, video, predicted)
                scores = self.dataset.score(video, predicted)
                results[video.name] = dict(key=keys[video.name], scores=scores)
                self._write(results, videos)
                name, value = next(iter(self.dataset.average([scores]).items()))
                say(f'{video.name}: {name} {100 * value:.2f}')
        return self._write(results, videos)

    @torch.no_grad()
    def _predict(self, video: LabelledVideo, progress: Progress) -> list[np.ndarray]:
        def maps() -> Iterator[Tensor]:
            for path in video.frames:
                pixels = torch.tensor(read_frame(path), device=self.encoder.mean.device)
                image = F.interpolate(pixels.movedim(-1, 0)[None].float(),
                                      self._input_size(pixels.shape[:2]), mode='bilinear')
                features = self.encoder.feature_map(image)[0].float()
                # A network for clips sees a still clip.
                yield features.mean(1) if features.ndim == 4 else features
                progress.advance()

        frames = maps()
        start = next(frames)
        first = self.dataset.first_labels(video, start.shape[1:])
        return [self.dataset.predict(video, labels)
                for labels in self.settings(chain([start], frames), first)]

    def _input_size(self, sides: Sequence[int]) -> list[int]:
        """Height and width; where the long side is given, the other one in multiples of 64."""
        if len(self.size) == 2:
            return [*self.size]
        return [self.size[0] if side == max(sides) else
                max(64, self.size[0] * side // max(sides) // 64 * 64) for side in sides]

    def _key(self, video: LabelledVideo) -> str:
        """Hash what determines the scores; of files, names, sizes and dates."""
        files = [(str(path), status.st_size, status.st_mtime_ns)
                 for path in (*video.frames, *video.labels) for status in [path.stat()]]
        content = repr((self.key, self.settings, self.size, files))
        return hashlib.sha256(content.encode()).hexdigest()

    def _outputs(self, video: LabelledVideo) -> tuple[list[Path], list[Path]]:
        """The files that are wanted: masks, and a picture."""
        masks = self.table.parent / 'masks' / video.name
        picture = self.table.parent / 'pictures' / f'{video.name.replace("/", "_")}.png'
        return ([masks / f'{path.stem}.png' for path in video.frames] * self.masks,
                [picture] * self.pictures)

    def _write(self, results: dict[str, Any], videos: dict[str, LabelledVideo]) -> list[str]:
        """Write the results in the order of the videos; return the lines of the table."""
        results = {name: results[name] for name in videos if name in results}
        average = self.dataset.average
        rows = {name: average([result['scores']]) for name, result in results.items()}
        mean = average([result['scores'] for result in results.values()])
        lines = [f'# {self.table.stem}, {len(results)} of {len(videos)} videos: '
                 f'{self.checkpoint}', '', *markdown_table(['video', *mean], [
            [name, *(f'{100 * value:.2f}' for value in row.values())]
            for name, row in [*rows.items(), ('**all**', mean)]])]
        content = dict(dataset=self.table.stem, checkpoint=self.checkpoint, input_size=self.size,
                       **vars(self.settings), all=mean, videos={
                           name: dict(result, metrics=rows[name])
                           for name, result in results.items()})
        write_result_files(self.table, content, '\n'.join(lines))
        return lines


def _read_results(path: Path, keys: dict[str, str]) -> dict[str, Any]:
    """Earlier results of videos, by name, if they have these keys."""
    try:
        videos = json.loads(path.read_text(encoding='utf-8'))['videos']
        return {name: videos[name] for name, key in keys.items()
                if name in videos and videos[name]['key'] == key}
    except (OSError, ValueError, LookupError, TypeError):
        return {}  # they can be computed again, so a damaged file is no error
