"""Seeing that the embeddings collapse while it can still be mended."""
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

# Below it even good embeddings span little: two pairs whose frames agree are two points, a line.
_MIN_BATCH = 8
_REMIND_EVERY = 20  # times ``patience``


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn when the embeddings of the main process's batches have collapsed, and say what to do.

    Embeddings that are all the same (``embedding_std`` near 0), or all on a line
    (``embedding_rank`` near 1), satisfy a loss without negatives and teach nothing. Iterations
    in which the model gives neither value, as before contrast begins, count neither way.

    The defaults lie far from what healthy runs show: the quickstart's has a std of 0.57 and a rank
    of 5 or more throughout (D = 128, 64 embeddings). With SimSiam without stop-gradient in its
    place, the std is below 0.1 after 100 iterations.

    Args:
        min_std: Lower bound of ``embedding_std``, of 0 (collapsed) to 1 (isotropic).
        min_rank: Lower bound of ``embedding_rank``, of 0 (collapsed) to the width.
        patience: Iterations in a row below a bound before a warning. It is said again after
            20 times as many, or when the embeddings have recovered and collapse anew.

    Raises:
        ValueError: If ``patience`` is not positive.
    """

    def __init__(self, min_std: float = 0.1, min_rank: float = 2.0, patience: int = 50) -> None:
        if patience < 1:
            raise InputError(f'patience={patience} should be a number of iterations, 1 or more.')
        self.bounds = dict(embedding_std=min_std, embedding_rank=min_rank)
        self.patience = patience
        self._below = 0

    def before_train(self, runner: Runner) -> None:
        """See whether batches are large enough to tell."""
        size = runner.train_dataloader.batch_size  # None with a batch_sampler
        self._watching = is_main_process() and (size is None or size >= _MIN_BATCH)
        if not self._watching and is_main_process():
            runner.logger.info(f'Batches of less than {_MIN_BATCH} pairs a process do not show '
                               'whether embeddings collapse: no warning would be given.')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Count."""
        outputs = outputs or {}
        values = {name: float(outputs[name]) for name in self.bounds if name in outputs}
        if not self._watching or not values:
            return
        low = {name: value for name, value in values.items() if value < self.bounds[name]}
        self._below = self._below + 1 if low else 0
        if self._below and (self._below - self.patience) % (_REMIND_EVERY * self.patience) == 0:
            runner.logger.warning(self._words(low, runner.iter + 1))

    def _words(self, low: dict[str, float], iteration: int) -> str:
        # with the iteration, as mmengine does not log the same warning twice
        found = ' and '.join(f'{name} is {value:.3g}, below {self.bounds[name]:g}'
                             for name, value in low.items())
        return (f'The embeddings have collapsed: {found}, for {self._below} iterations up '
                f'to {iteration}. Nearly all videos are mapped to one point or line, from which '
                'the encoder learns nothing. '
                'Stop and go back to a checkpoint from before; lower the learning rate or lengthen '
                "its warm-up, take more pairs a batch, and see that the head's guard against "
                'collapse is on (negatives of InfoNCEHead, stop_grad of SimSiamHead, std of '
                'VICRegHead).')
