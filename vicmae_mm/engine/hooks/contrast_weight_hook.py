"""The schedule that introduces the contrastive loss (paper section 3.3, Table 7)."""
import gc
import math

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import IterBasedTrainLoop, Runner
from mmpretrain.models.selfsup.mae import MAEViT

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.models import ViCMAE
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

SCHEDULES = ('step', 'linear', 'cosine', 'constant')


def contrast_scale(epoch: int, schedule: str, begin: int, ramp_epochs: int) -> float:
    """Factor of lambda in an epoch (counted from 0), in [0, 1].

    Contrast starts in epoch ``begin``; a linear or cosine ramp reaches 1 after ``ramp_epochs``.
    """
    if schedule == 'constant' or (schedule == 'step' and epoch >= begin):
        return 1.0
    if epoch < begin:
        return 0.0
    progress = min((epoch - begin + 1) / ramp_epochs, 1.0)
    return progress if schedule == 'linear' else 0.5 * (1 - math.cos(math.pi * progress))


@HOOKS.register_module()
class ContrastWeightHook(Hook):
    """Set the model's ``contrast_scale`` in every epoch.

    In a resumed run, lambda is at least what it was in the checkpoint: contrast that has begun
    stays on if the run, and with it the schedule, is made longer.

    Args:
        schedule: ``'step'`` (Table 7), ``'linear'``, ``'cosine'`` or ``'constant'``.
        begin_ratio: First epoch with contrast as a fraction of all epochs, rounded: 0.25 is epoch
            200 of 800, and also works in shorter runs.
        begin: First epoch with contrast (counted from 0), instead of ``begin_ratio``.
        ramp_epochs: Length of a linear or cosine ramp in epochs.
    """

    def __init__(self, schedule: str = 'step', begin_ratio: float = 0.25,
                 begin: int | None = None, ramp_epochs: int = 0) -> None:
        if schedule not in SCHEDULES:
            raise InputError(f'schedule={schedule!r} is unknown: choose one of {SCHEDULES}.')
        if not 0 <= begin_ratio < 1:
            raise InputError(f'begin_ratio={begin_ratio} must be a share of the epochs in [0, 1).')
        if begin is not None and begin < 0:
            raise InputError(f'begin={begin} must be an epoch, 0 or later.')
        if schedule in ('linear', 'cosine') and ramp_epochs < 1:
            raise InputError(f'A {schedule} schedule needs ramp_epochs >= 1, got {ramp_epochs}.')
        self.schedule, self.ramp_epochs = schedule, ramp_epochs
        self.begin_ratio, self.begin, self.least = begin_ratio, begin, 0.

    def before_train(self, runner: Runner) -> None:
        """Check that pairs have negatives, and that there are enough epochs to start contrast."""
        if self.schedule != 'constant':
            self._check_epochs(runner)
        _check_videos(runner)

    def _check_epochs(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise InputError('ContrastWeightHook counts epochs: use an EpochBasedTrainLoop or '
                             "schedule='constant'.")
        ramp = 1 if self.schedule == 'step' else self.ramp_epochs
        if self._begin(runner) + ramp > runner.max_epochs:
            raise InputError(f'Contrast begins with epoch {self._begin(runner)} (from 0) and rises '
                             f'in {ramp}, but the run has {runner.max_epochs} epochs: lower begin, '
                             'begin_ratio or ramp_epochs.')
        weights = runner.message_hub.log_scalars.get('train/contrast_weight')
        if runner._resume and weights is not None:
            weight = unwrapped_model(runner).contrast_weight
            # The log has it in fp32.
            saved = round(min(weights.current() / weight, 1.), 6) if weight else 0.
            if saved > self._scale(runner) + 1e-6:
                self.least = saved
                runner.logger.info(f'Contrast stays on: contrast_weight is at least '
                                   f'{saved * weight:.3g}, as in {runner._load_from}.')

    def _begin(self, runner: Runner) -> int:
        return round(self.begin_ratio * runner.max_epochs) if self.begin is None else self.begin

    def before_train_epoch(self, runner: Runner) -> None:
        """Have unused parameters looked for only in epochs that do not run the projector.

        Searching takes time and a warning in every other epoch. All parameters of a ``MAEViT``
        have gradients then, which is not known of other backbones.
        """
        cfg, ddp, model = runner.cfg, runner.model, unwrapped_model(runner)
        if not (isinstance(runner, Runner) and type(ddp) is MMDistributedDataParallel
                and cfg.get('find_unused_parameters') and not cfg.get('model_wrapper_cfg')
                and isinstance(model, ViCMAE) and isinstance(model.backbone, MAEViT)):
            return
        weight = model.contrast_weight * max(self._scale(runner), self.least)
        search = model.contrast_head is not None and not weight
        if ddp.find_unused_parameters != search:
            # Only its constructor takes the setting; it keeps parameters and buffers as they are.
            runner.model = ddp = model
            gc.collect()  # frees the buckets of the old one
            runner.cfg = Config(dict(find_unused_parameters=search))
            runner.model = runner.wrap_model(None, model)
            runner.cfg = cfg

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | tuple | list | None = None) -> None:
        unwrapped_model(runner).contrast_scale = max(self._scale(runner), self.least)

    def _scale(self, runner: Runner) -> float:
        return contrast_scale(runner.epoch, self.schedule, self._begin(runner), self.ramp_epochs)


def _check_videos(runner: Runner) -> None:
    """Refuse a dataset of one video if its samples are no negatives of each other."""
    head = getattr(unwrapped_model(runner), 'contrast_head', None)
    if getattr(head, 'same_video', '') != 'left_out':
        return
    records = (each.get_data_info(index) if hasattr(each, 'get_data_info') else dict(img_path=index)
               for each in innermost_datasets(runner.train_dataloader.dataset)
               for index in range(len(each)))
    # Of most datasets, this reads two records.
    files = (record.get('filename', record.get('img_path')) for record in records)
    first = next(files, None)
    if all(file == first for file in files):
        raise InputError(f"model.contrast_head.same_video='left_out': {first} is the only file of "
                         "the training data, so no pair has negatives. Set same_video='negatives'.")
