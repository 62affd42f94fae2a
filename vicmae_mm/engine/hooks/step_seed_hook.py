"""Random numbers that depend only on the training step."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.seeding import seed_generators


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed all generators before every training step from (runner's seed, iteration).

    Python's ``random``, numpy and torch (CPU and all accelerators) are seeded, so a resumed run
    draws the same masks, dropout and device-side mixup as one that was never stopped.

    By default all processes draw the same numbers, so masks do not depend on how many there are.
    With ``randomness.diff_rank_seed=True`` each draws its own: ``runner.seed`` contains the rank.
    """

    # Before any other hook that draws random numbers.
    priority = 'HIGHEST'

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | tuple | list | None = None) -> None:
        # Seeded, not restored: states would have to be saved for every rank and device.
        seed_generators((runner.seed, runner.iter))
