"""Pictures of what the model reconstructs, while it trains."""
from collections.abc import Sequence
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vicmae_mm.datasets.samplers import SampleIndex
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import seeded
from vicmae_mm.visualization.reconstruction import draw_reconstruction


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Write the same frames and masks, reconstructed ever better, to the visualizer.

    The picture ``reconstruction`` goes to every backend of ``runner.visualizer``:
    file, TensorBoard, W&B. It is drawn before training, at the interval and after
    the last epoch or iteration, on the first process. Frames (augmented as in training) and
    masks depend on ``seed`` alone and leave the random state of training as it was.

    The first picture fails like any other error in the set-up. Later, a
    failure is logged and training goes on. A model without a decoder has no
    pictures: the log says so once.

    Args:
        interval: Epochs, or iterations, between two pictures.
        by_epoch: Whether ``interval`` counts epochs.
        num_samples: Samples of the training set to draw, evenly spread over it.
        seed: Seed of frames, augmentations and masks.

    Raises:
        ValueError: If ``interval`` or ``num_samples`` is less than 1.
    """

    def __init__(self,
                 interval: int = 1,
                 by_epoch: bool = True,
                 num_samples: int = 4,
                 seed: int = 0) -> None:
        for name, value in (('interval', interval), ('num_samples', num_samples)):
            if value < 1:
                raise InputError(f'ReconstructionHook: {name}={value!r} should be at least 1.')
        self.interval = interval
        self.by_epoch = by_epoch
        self.num_samples = num_samples
        self.seed = seed
        self._inputs: list[tuple[str, list[Tensor]]] = []

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Draw the samples, and a first picture of them."""
        model = unwrapped_model(runner)
        if not getattr(model, 'with_neck', False):
            runner.logger.info(
                f'ReconstructionHook: {type(model).__name__} has no decoder here, '
                'so there are no reconstruction pictures.')
            return
        self._inputs = self._draw_samples(runner.train_dataloader.dataset)
        self._add_picture(runner, runner.iter)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw at the interval and after the last epoch."""
        if self.by_epoch and (self.every_n_epochs(runner, self.interval)
                              or self.is_last_train_epoch(runner)):
            self._try_picture(runner, runner.iter)

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Draw at the interval and after the last iteration."""
        if not self.by_epoch and (self.every_n_train_iters(runner, self.interval)
                                  or self.is_last_train_iter(runner)):
            self._try_picture(runner, runner.iter + 1)

    def _draw_samples(self, dataset: Sequence) -> list[tuple[str, list[Tensor]]]:
        """Captions and frames, the first pair of each sample."""
        count = min(self.num_samples, len(dataset))
        inputs = []
        with seeded((self.seed, )):
            for index in (i * len(dataset) // count for i in range(count)):
                # a SampleIndex tells VideoPairDataset its own random stream
                views = dataset[SampleIndex(index, self.seed, epoch=0)]['inputs']
                frames = list(views[:2]) if isinstance(views, list) else [views]
                inputs.append((f'sample {index} of the training set', frames))
        return inputs

    def _try_picture(self, runner: Runner, step: int) -> None:
        """Add a picture; after the first one, a failure must not cost the training."""
        try:
            self._add_picture(runner, step)
        except Exception:
            runner.logger.exception('The reconstruction picture failed; training goes on.')

    def _add_picture(self, runner: Runner, step: int) -> None:
        if self._inputs:
            picture = draw_reconstruction(unwrapped_model(runner), self._inputs, self.seed)
            runner.visualizer.add_image('reconstruction', picture, step=step)
