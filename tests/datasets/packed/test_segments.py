"""Segments and gaps in seconds of packed frames."""
import shutil

import numpy as np
import pytest

from tests.helpers.packing import make_older, pack
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex

READ = [dict(type='vicmae_mm.SampleFramePair'), dict(type='vicmae_mm.VideoDecode')]


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
    """A recording of 12 s at 10 frames per second and a clip of 1 s, every .3 s stored."""
    videos, target = (tmp_path_factory.mktemp(name) for name in ('videos', 'packed'))
    make_video(videos / 'a.mp4', 120, fps=10)
    make_video(videos / 'b.mp4', 10, fps=10)
    return pack(videos, target, every_seconds=.3)


def frames_of(sample) -> list[int]:
    return [read_frame_number(image) for image in sample['imgs']]


def test_pairs_are_drawn_from_the_stored_frames_of_the_segment(packed):
    dataset = PackedFrameDataset(packed, READ, segment_seconds=3)
    assert len(dataset) == 5
    for i in range(4):
        pairs = [frames_of(dataset[SampleIndex(i, 0, epoch)]) for epoch in range(30)]
        assert {frame for pair in pairs for frame in pair} == {*range(30 * i, 30 * i + 30, 3)}
        assert all(a < 30 * i + 15 <= b + 3 for a, b in pairs)  # of two halves
    assert {*frames_of(dataset[4])} <= {0, 3, 6, 9}
    few = PackedFrameDataset(packed, READ, segment_seconds=1, max_samples_per_video=3)
    assert len(few) == 4 and len({few.get_data_info(SampleIndex(1, 0, epoch))['start_index']
                                  for epoch in range(50)}) == 4


def test_gaps_in_seconds(packed):
    pair = dict(type='vicmae_mm.SampleFramePair', mode='continuous', delta_seconds=.65)
    dataset = PackedFrameDataset(packed, [pair, READ[1]], segment_seconds=3)
    gaps = {int(np.diff(frames_of(dataset[SampleIndex(1, 0, epoch)]))[0]) for epoch in range(20)}
    assert gaps == {3, 6}


def test_segments_with_fewer_than_two_stored_frames_are_bad(packed):
    dataset = PackedFrameDataset(packed, READ, segment_seconds=.3, max_bad_share=0)
    with pytest.raises(RuntimeError, match=r'bad segments(.|\n)*pack more'):
        dataset[0]


def test_packs_of_older_versions_have_no_times(packed, tmp_path):
    shutil.copytree(packed, tmp_path, dirs_exist_ok=True)
    make_older(tmp_path, times=False)
    assert len(frames_of(PackedFrameDataset(str(tmp_path), READ)[0])) == 2
    with pytest.raises(ValueError, match='without the times'):
        PackedFrameDataset(str(tmp_path), READ, segment_seconds=3)
    pair = dict(type='vicmae_mm.SampleFramePair', max_gap_seconds=1)
    with pytest.raises(ValueError, match='need the times'):
        PackedFrameDataset(str(tmp_path), [pair, READ[1]])[0]
