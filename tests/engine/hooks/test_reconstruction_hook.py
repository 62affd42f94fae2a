"""Pictures during training: when, of what, by whom, and without a trace in the training."""
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from PIL import Image

from tests.helpers.distributed import run_distributed
from tests.helpers.models import tiny_config, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, FixedPairs, RandomPairs, tiny_runner
from vicmae_mm.engine.hooks import reconstruction_hook
from vicmae_mm.engine.hooks.reconstruction_hook import ReconstructionHook

HOOK = dict(type='vicmae_mm.ReconstructionHook')
CONTRAST_ONLY = dict(decoder=None, head=None, data_preprocessor=PREPROCESSOR)


def pictures(work_dir: Path) -> dict[int, np.ndarray]:
    """Step -> picture of all reconstruction pictures of a run."""
    return {int(path.stem.split('_')[1]): np.asarray(Image.open(path))
            for path in work_dir.glob('*/vis_data/vis_image/reconstruction_*.png')}


def columns(picture: np.ndarray) -> list[np.ndarray]:
    return np.array_split(picture[:, :picture.shape[1] // 4 * 4], 4, axis=1)


def weights_after_training(work_dir: Path, hooks: list) -> dict[str, torch.Tensor]:
    runner = tiny_runner(work_dir, hooks)
    runner.train()
    return runner.model.state_dict()


def test_training_is_the_same_with_and_without(tmp_path):
    plain = weights_after_training(tmp_path / 'plain', [])
    drawn = weights_after_training(
        tmp_path / 'drawn', [HOOK | dict(interval=1, by_epoch=False)])
    assert len(pictures(tmp_path / 'drawn')) == 5
    assert all(torch.equal(plain[key], drawn[key]) for key in plain)


@pytest.mark.parametrize('settings, steps', [
    (dict(interval=2), {0, 4, 6}),
    (dict(interval=4, by_epoch=False), {0, 4, 6}),
    (dict(interval=50), {0, 6}),
])
def test_drawn_at_start_interval_and_end(tmp_path, settings, steps):
    tiny_runner(tmp_path, [HOOK | settings], epochs=3).train()
    assert pictures(tmp_path).keys() == steps


def test_same_frames_and_masks_while_the_model_learns(tmp_path):
    tiny_runner(tmp_path, [HOOK | dict(num_samples=2)]).train()
    first, last = (columns(pictures(tmp_path)[step]) for step in (0, 4))
    assert np.array_equal(first[0], last[0]) and np.array_equal(first[1], last[1])
    assert not np.array_equal(first[2], last[2])


def test_samples_are_spread_over_the_dataset(tmp_path):
    hook = ReconstructionHook(num_samples=4)
    captions = [caption for caption, _ in hook._choose_samples(RandomPairs(length=8))]
    assert [int(caption.split()[1]) for caption in captions] == [0, 2, 4, 6]
    assert len(hook._choose_samples(RandomPairs(length=3))) == 3


def test_one_image_instead_of_a_pair(tmp_path):
    dataset = RandomPairs()
    single = Mock(wraps=dataset, spec=['__len__', '__getitem__'])
    single.__len__ = lambda _: len(dataset)
    single.__getitem__ = lambda _, index: dict(inputs=dataset[index]['inputs'][0])
    (_, frames), *_ = ReconstructionHook()._choose_samples(single)
    assert len(frames) == 1 and frames[0].shape == (3, 32, 32)


def test_no_decoder_no_picture(tmp_path):
    runner = tiny_runner(tmp_path, [HOOK], epochs=1, model=tiny_config(**CONTRAST_ONLY))
    runner.train()
    assert not pictures(tmp_path)
    assert 'no pictures. This model has no decoder' in next(tmp_path.glob('*/*.log')).read_text()


def test_wrong_crop_stops_before_training(tmp_path):
    runner = tiny_runner(tmp_path, [HOOK], dataset=RandomPairs(size=48))
    with pytest.raises(ValueError, match='built for 32 x 32 px but got 48 x 48'):
        runner.train()
    assert runner.iter == 0


def test_later_failure_costs_no_training(tmp_path):
    runner = tiny_runner(tmp_path, [HOOK])
    add_image = runner.visualizer.add_image

    def full_disk(name: str, image: np.ndarray, step: int = 0) -> None:
        if step:
            raise OSError('No space left on device')
        add_image(name, image, step)

    runner.visualizer.add_image = full_disk
    runner.train()
    assert runner.iter == 4
    assert 'No space left on device' in next(tmp_path.glob('*/*.log')).read_text()


@pytest.mark.parametrize('kwargs', [dict(interval=0), dict(num_samples=0)])
def test_wrong_values_are_refused(kwargs):
    name, = kwargs
    with pytest.raises(ValueError, match=f'{name}=0 must be at least 1'):
        ReconstructionHook(**kwargs)


def train_in_processes(work_dir: str) -> int:
    """Train under DDP with bf16 autocast, and count the calls of add_image."""
    model = MMDistributedDataParallel(tiny_vicmae(data_preprocessor=PREPROCESSOR))
    runner = tiny_runner(
        Path(work_dir), [HOOK], model=model,
        optim_wrapper=dict(
            type='vicmae_mm.BF16OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)))
    assert runner.model is model
    draw = runner.visualizer.add_image = Mock(wraps=runner.visualizer.add_image)
    runner.train()
    return draw.call_count


def test_first_process_alone_draws(tmp_path):
    assert run_distributed(train_in_processes, 2, str(tmp_path)) == [3, 0]
    assert pictures(tmp_path).keys() == {0, 1, 2}


def test_frames_of_a_stacked_sample_are_those_of_the_list():
    class Stacked(RandomPairs):
        def __getitem__(self, index: int) -> dict:
            return dict(inputs=torch.stack(super().__getitem__(index)['inputs']))

    listed, stacked = (ReconstructionHook()._choose_samples(dataset)
                       for dataset in (RandomPairs(), Stacked()))
    for (_, frames), (_, wanted) in zip(stacked, listed, strict=True):
        assert len(frames) == 2
        assert all(torch.equal(a, b) for a, b in zip(frames, wanted, strict=True))


def test_captions_name_the_files(tmp_path, monkeypatch):
    captions = []

    def draw(model, inputs, seed):
        captions.append([caption for caption, _ in inputs])
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(reconstruction_hook, 'draw_reconstruction', draw)
    for dataset in (FixedPairs(), RandomPairs()):
        tiny_runner(tmp_path, [HOOK | dict(num_samples=2)], dataset=dataset).train()
    assert captions[0] == ['videos/0.mp4', 'videos/4.mp4']
    assert captions[-1] == ['sample 0', 'sample 4']  # its samples do not say
