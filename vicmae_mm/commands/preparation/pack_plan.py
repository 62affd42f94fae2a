"""Which videos go into which shard, and which shards are still missing."""
import hashlib
import json
import os.path as osp
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TextIO

from vicmae_mm.datasets.annotations.video_lists import Video
from vicmae_mm.datasets.packed.shards import ShardError, StoredVideo, read_shard, write_shard
from vicmae_mm.utils.atomic_files import remove_leftovers
from vicmae_mm.utils.errors import InputError

from .converting import JobResult, reserve_target
from .pack_video import Packed, PackJob, PackSettings

SETTINGS_FILE = 'pack.json'


@dataclass
class Plan:
    """The shards of a dataset, each with a fixed number of consecutive videos of its list."""

    target: str  # folder of the shards
    folder: str  # that the paths of the videos are relative to
    videos: Sequence[Video]
    classes: Sequence[str]  # names of the labels; empty if unknown
    settings: PackSettings
    per_shard: int  # videos, including bad ones
    # Problem of each bad video in the shards read or written so far, by its file
    bad: dict[str, str] = field(default_factory=dict, init=False)
    _pending: dict[int, dict[int, JobResult]] = field(default_factory=dict, init=False)

    def check(self) -> TextIO:
        """Reserve the target as :func:`reserve_target` does, for these videos and settings.

        It may not be the folder of the videos. Unfinished files of killed runs are removed.
        """
        if osp.realpath(self.target) == osp.realpath(self.folder):
            raise InputError(f'DST {self.target!r} is the folder of the videos, which is never '
                             'written to: choose another one.')
        # A hash of the list instead of the list: Kinetics-400 has 240,000 videos.
        listed = json.dumps([list(self.videos), list(self.classes)]).encode()
        settings = asdict(self.settings)
        if not self.settings.every_seconds:
            del settings['every_seconds']  # as in folders of older versions, which go on
        reserved = reserve_target(osp.join(self.target, SETTINGS_FILE), dict(
            **settings, videos_per_shard=self.per_shard, num_videos=len(self.videos),
            sha256_of_list=hashlib.sha256(listed).hexdigest()))
        remove_leftovers(self.target)
        return reserved

    @cached_property
    def names(self) -> list[str]:
        """File names of the shards."""
        count = -(-len(self.videos) // self.per_shard)
        return [f'shard-{number:05d}.zip' for number in range(count)]

    def path(self, shard: int) -> str:
        """The file of a shard."""
        return osp.join(self.target, self.names[shard])

    def jobs_left(self) -> list[PackJob]:
        """Jobs of the shards that are missing or damaged; records the bad videos of the rest."""
        jobs = []
        for shard in range(len(self.names)):
            stored = self._stored(shard)
            if stored is not None:
                self._note_bad(stored)
            else:
                self._pending[shard] = {}
                jobs += [
                    PackJob(number, osp.join(self.folder, self.videos[number][0]), self.settings)
                    for number in self._numbers(shard)]
        return jobs

    def add(self, job: PackJob, done: JobResult) -> None:
        """Add the result of a job, and write its shard once all results of it are there.

        A shard is not written if one of its videos could not be read through the machine's fault.
        """
        shard = job.number // self.per_shard
        self._pending[shard][job.number] = done
        if len(self._pending[shard]) == len(self._numbers(shard)):
            results = self._pending.pop(shard)
            if any(result.again for result in results.values()):
                return
            # Jobs finish in any order; sorted, a shard made again has the same bytes.
            numbers = sorted(results)
            videos = [self._describe(number, results[number]) for number in numbers]
            write_shard(self.path(shard), self.classes, videos,
                        [getattr(results[number], 'jpegs', ()) for number in numbers])
            self._note_bad(videos)

    def _note_bad(self, videos: Sequence[StoredVideo]) -> None:
        self.bad.update((osp.join(self.folder, video.path), video.problem)
                        for video in videos if video.problem)

    def _numbers(self, shard: int) -> Sequence[int]:
        first = shard * self.per_shard
        return range(first, min(first + self.per_shard, len(self.videos)))

    def _stored(self, shard: int) -> list[StoredVideo] | None:
        """The videos of a shard; None if it is missing or damaged."""
        try:
            videos = read_shard(self.path(shard)).videos
        except (ShardError, FileNotFoundError):
            return None
        return videos if len(videos) == len(self._numbers(shard)) else None

    def _describe(self, number: int, done: JobResult) -> StoredVideo:
        path, label = self.videos[number]
        if isinstance(done, Packed):
            return StoredVideo(path, label, done.total_frames, done.frames, times=done.times,
                               duration=done.duration)
        return StoredVideo(path, label, problem=done.problem)
