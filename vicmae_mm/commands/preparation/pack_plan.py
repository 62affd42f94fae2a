"""Which videos go into which shard, and which shards are still to be made."""
import hashlib
import json
import os.path as osp
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from vicmae_mm.commands.preparation.converting import Done, keep_to_settings
from vicmae_mm.datasets.annotations.video_lists import Video
from vicmae_mm.datasets.packed.shards import ShardError, StoredVideo, read_shard, write_shard
from vicmae_mm.utils.atomic_files import remove_leftovers
from vicmae_mm.utils.errors import InputError

from .pack_video import Job, Packed, Settings

SETTINGS_FILE = 'pack.json'


@dataclass
class Plan:
    """The shards of a dataset: so many consecutive videos of its list in each.

    Attributes:
        target: Folder of the shards.
        folder: What the paths of the videos are relative to.
        videos: Path and label of each, in their order.
        classes: Names of the labels; empty if not known.
        settings: How to pack.
        per_shard: Videos of a shard, bad ones counted.
        bad: What is wrong with each bad video of the shards read or written, by its file.
    """
    target: str
    folder: str
    videos: Sequence[Video]
    classes: Sequence[str]
    settings: Settings
    per_shard: int
    bad: dict[str, str] = field(default_factory=dict, init=False)
    _pending: dict[int, dict[int, Done]] = field(default_factory=dict, init=False)

    def check(self) -> None:
        """Note what is packed, and how, in a new target; see that an old one has the same.

        Of shards that a killed run was at, nothing is left.

        Raises:
            ValueError: It has other settings, or other videos, or is where the videos are.
        """
        if osp.realpath(self.target) == osp.realpath(self.folder):
            raise InputError(f'DST {self.target!r} is the folder of the videos, where nothing is '
                             'written: give another one.')
        listed = json.dumps([list(self.videos), list(self.classes)]).encode()
        keep_to_settings(osp.join(self.target, SETTINGS_FILE), dict(
            **asdict(self.settings), videos_per_shard=self.per_shard, num_videos=len(self.videos),
            sha256_of_list=hashlib.sha256(listed).hexdigest()))
        remove_leftovers(self.target)

    @property
    def names(self) -> list[str]:
        """File names of the shards."""
        count = -(-len(self.videos) // self.per_shard)
        return [f'shard-{number:05d}.zip' for number in range(count)]

    def path(self, shard: int) -> str:
        """The file of a shard."""
        return osp.join(self.target, self.names[shard])

    def jobs_left(self) -> list[Job]:
        """Jobs of the shards that are missing or not whole; reads what the others tell."""
        jobs = []
        for shard in range(len(self.names)):
            stored = self._stored(shard)
            if stored is not None:
                self._note_bad(stored)
            else:
                self._pending[shard] = {}
                jobs += [Job(number, osp.join(self.folder, self.videos[number][0]), self.settings)
                         for number in self._numbers(shard)]
        return jobs

    def add(self, job: Job, done: Done) -> None:
        """Take in what came of a job, and write its shard if that was the last.

        Raises:
            OSError: It can't be written.
        """
        shard = job.number // self.per_shard
        self._pending[shard][job.number] = done
        if len(self._pending[shard]) == len(self._numbers(shard)):
            results = self._pending.pop(shard)
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
        """The videos of a shard; None if it is missing or not whole."""
        try:
            videos = read_shard(self.path(shard)).videos
        except (ShardError, FileNotFoundError):
            return None
        return videos if len(videos) == len(self._numbers(shard)) else None

    def _describe(self, number: int, done: Done) -> StoredVideo:
        path, label = self.videos[number]
        if isinstance(done, Packed):
            return StoredVideo(path, label, done.total_frames, done.frames)
        return StoredVideo(path, label, problem=done.problem)
