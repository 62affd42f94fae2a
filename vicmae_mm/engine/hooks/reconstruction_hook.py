"""Pictures of the model's reconstructions during training."""
from collections.abc import Sequence
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vicmae_mm.datasets.samplers import SampleIndex
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.models.view_layout import split_views
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import seeded
from vicmae_mm.visualization.reconstruction import check_can_reconstruct, draw_reconstruction


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Write reconstructions of a fixed set of frames and masks to the visualizer.

    The picture ``reconstruction`` goes to every backend of ``runner.visualizer`` (file,
    TensorBoard, W&B): before training, at the interval and after the last epoch or iteration, on
    the main process. Frames (augmented as in training) and masks depend only on ``seed``; the
    random state of training is not changed. A model without a decoder has no pictures.

    Args:
        interval: Number of epochs or iterations between pictures, at least 1.
        by_epoch: Whether ``interval`` counts epochs.
        num_samples: Number of samples, at least 1, evenly spread over the training set.
        seed: Seed of frames, augmentations and masks.
    """

    def __init__(self, interval: int = 1, by_epoch: bool = True, num_samples: int = 4,
                 seed: int = 0) -> None:
        for name, value in (('interval', interval), ('num_samples', num_samples)):
            if value < 1:
                raise InputError(f'ReconstructionHook: {name}={value!r} must be at least 1.')
        self.interval, self.by_epoch = interval, by_epoch
        self.num_samples, self.seed = num_samples, seed
        self._inputs: list[tuple[str, list[Tensor]]] = []

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Choose the samples and add their first picture; its failure stops the run."""
        model = unwrapped_model(runner)
        try:
            check_can_reconstruct(model)
        except InputError as error:
            runner.logger.info(f'ReconstructionHook: no pictures. {error}')
            return
        self._inputs = self._choose_samples(runner.train_dataloader.dataset)
        self._add_picture(runner, runner.iter)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        if self.by_epoch and (self.every_n_epochs(runner, self.interval)
                              or self.is_last_train_epoch(runner)):
            self._try_picture(runner, runner.iter)

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        if not self.by_epoch and (self.every_n_train_iters(runner, self.interval)
                                  or self.is_last_train_iter(runner)):
            self._try_picture(runner, runner.iter + 1)

    def _choose_samples(self, dataset: Sequence) -> list[tuple[str, list[Tensor]]]:
        """Caption and frames of each sample: its first pair."""
        count = min(self.num_samples, len(dataset))
        inputs = []
        with seeded((self.seed, )):
            for index in (i * len(dataset) // count for i in range(count)):
                # VideoPairDataset takes its random stream from a SampleIndex.
                sample = dataset[SampleIndex(index, self.seed, epoch=0)]
                views = sample['inputs']
                # A batch of one sample, so that every layout of a sample is read as in training.
                batch = views[None] if isinstance(views, Tensor) else [view[None] for view in views]
                frames = [view[0] for view in split_views(batch)[:2]]
                # What samples of mmaction2 and mmpretrain call their file.
                files = [getattr(sample.get('data_samples'), name, '')
                         for name in ('filename', 'img_path')]
                inputs.append((next(filter(None, files), f'sample {index}'), frames))
        return inputs

    def _try_picture(self, runner: Runner, step: int) -> None:
        try:
            self._add_picture(runner, step)
        # The first picture worked, so the set-up is correct: do not lose the training over this.
        except Exception:
            runner.logger.exception('The reconstruction picture failed; training continues.')

    def _add_picture(self, runner: Runner, step: int) -> None:
        if self._inputs:
            picture = draw_reconstruction(unwrapped_model(runner), self._inputs, self.seed)
            runner.visualizer.add_image('reconstruction', picture, step=step)
