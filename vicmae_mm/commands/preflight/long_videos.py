"""Checks of long videos: are there enough samples, and are they different."""
from typing import Any

from mmengine.dist import get_world_size

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.segments import SegmentedDataset, cut_segments
from vicmae_mm.datasets.video_durations import video_durations

from .findings import Findings


def advise_segments(dataset: Any, size: int) -> str:
    """What to do if few videos do not fill a batch of each process; '' if cutting does not help."""
    paths = [each.get_data_info(index)['filename'] for each in innermost_datasets(dataset)
             if isinstance(each, SegmentedDataset) and each.segment_seconds is None
             for index in range(len(each))]
    number = sum(len(cut_segments(duration or 0, 10, 10)) or 1
                 for duration in video_durations(paths, None))
    return '' if number < size * get_world_size() else (
        f'set segment_seconds=10 in the dataset, which cuts its {len(paths):,} videos into '
        f'{number:,} samples')


def check_overlap(dataset: Any, head: Any, findings: Findings) -> None:
    """Warn if a frame can be a negative of itself."""
    if getattr(head, 'same_video', '') == 'negatives' and any(
            (each.segment_stride or 0) < (each.segment_seconds or 0)
            for each in innermost_datasets(dataset) if isinstance(each, SegmentedDataset)):
        findings.warn('segments overlap (segment_stride is below segment_seconds), and those of a '
                      'video are negatives of each other: raise segment_stride, or set '
                      "model.contrast_head.same_video='left_out'")
