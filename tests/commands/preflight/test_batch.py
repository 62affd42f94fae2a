"""What the check says of few long videos in a batch, and of overlapping segments."""
from types import SimpleNamespace

import pytest

from tests.helpers.videos import make_video
from vicmae_mm.commands.preflight.batch import advise_segments, check_overlap
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.datasets import VideoPairDataset
from vicmae_mm.models import InfoNCEHead


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two recordings of 30 s and one clip of 1 s."""
    folder = tmp_path_factory.mktemp('videos')
    for name, frames in (('a.mp4', 60), ('b.mp4', 60), ('c.mp4', 2)):
        make_video(folder / name, frames, fps=2)
    return folder


def build(folder, **settings):
    return VideoPairDataset(data_prefix=dict(video=str(folder)), **settings)


def test_segments_are_advised_if_they_fill_a_batch(folder):
    dataset = build(folder)
    assert 'segment_seconds=10 in the dataset, which cuts its 3 videos into 7' in advise_segments(
        SimpleNamespace(dataset=dataset), 7)
    assert advise_segments(dataset, 8) == advise_segments(range(3), 8) == ''
    assert advise_segments(build(folder, segment_seconds=20), 4) == ''  # are cut already


@pytest.mark.parametrize(('settings', 'same_video', 'warns'), [
    (dict(segment_seconds=10, segment_stride=5), 'negatives', True),
    (dict(segment_seconds=10, segment_stride=5), 'left_out', False),
    (dict(segment_seconds=10), 'negatives', False), (dict(), 'negatives', False)])
def test_overlapping_segments_as_negatives(folder, settings, same_video, warns):
    findings = Findings()
    check_overlap(build(folder, **settings), InfoNCEHead(same_video=same_video), findings)
    assert len(findings.warnings) == warns
