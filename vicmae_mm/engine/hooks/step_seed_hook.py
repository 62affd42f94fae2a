"""Random numbers of a training step that depend on the step alone."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.seeding import seed_generators


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed all generators before every training step from (runner's seed, iteration).

    What is drawn in a step (masks, dropout, mixup on the device) is then the same in a resumed
    run as in one that was never stopped, and no state of a generator has to be saved.
    python's ``random``, numpy and torch (CPU and all accelerators) are seeded.

    With ``randomness.diff_rank_seed=True`` every process draws its own numbers (its runner's
    seed contains the rank). Without it all processes draw the same, which lets
    ``rand_rows`` of :mod:`vicmae_mm.models.random_rows` make masks that don't depend on
    the number of processes.
    """

    priority = 'HIGHEST'  # before any hook that draws

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | tuple | list | None = None) -> None:
        """Seed the generators."""
        seed_generators((runner.seed, runner.iter))
