"""What the parent has decoded must not stop the workers it forks."""
import gc
import multiprocessing

from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers.container import decode_all, upright

FRAMES = []


def free_and_decode(path: str) -> None:
    FRAMES.clear()
    gc.collect()  # at any moment; frames with side data are in cycles
    assert [upright(frame).ndim for frame in decode_all(path)] == [3] * 12


def test_a_forked_worker_can_free_its_parents_frames(tmp_path):
    path = str(make_video(tmp_path / 'video.mp4', num_frames=12, size=(640, 480)))
    FRAMES.extend(decode_all(path))
    for frame in FRAMES:
        upright(frame)
    worker = multiprocessing.get_context('fork').Process(target=free_and_decode, args=(path, ))
    worker.start()
    worker.join(30)
    hangs = worker.is_alive()
    worker.kill()
    FRAMES.clear()
    assert not hangs and worker.exitcode == 0
