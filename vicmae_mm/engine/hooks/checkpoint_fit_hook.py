"""Refusing the checkpoint of a different model before any of it is used."""
import re

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.checkpoints.fit import check_fit
from vicmae_mm.engine.global_log_processor import GlobalLogProcessor
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.starting.first_weights import first_weights
from vicmae_mm.engine.starting.resumption import adopt_settings
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError

_HEADS = ('head.', 'cls_head.')


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Stop where mmengine would warn and continue with random weights.

    In resuming and testing, the checkpoint must match the model exactly, except for a head that a
    tested model lacks, as in mmaction2's feature extraction. In resuming, it must also match the
    optimizer; changed settings take effect and are named (:func:`adopt_settings`). For training,
    ``load_from`` may be of another family and contain only a part of the model, such as an encoder,
    but at least one parameter (:func:`first_weights`).
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes; raise a ValueError that says what the file looks like."""
        model = unwrapped_model(runner)
        if not runner._resume and current_task(runner) == 'train':
            checkpoint['state_dict'] = first_weights(checkpoint, str(runner._load_from), model)
        # DistributedDataParallel adds this prefix; mmengine's loading removes it, too.
        found = {re.sub(r'^module\.', '', key): value
                 for key, value in checkpoint.get('state_dict', checkpoint).items()}
        expected = model.state_dict()
        config = runner.cfg.filename or 'this run'
        if runner._resume:
            name = str(runner._load_from or f'The newest checkpoint in {runner.work_dir}')
            check_fit(found, expected, name, config)
            adopt_settings(runner, checkpoint, name)
            if isinstance(runner.log_processor, GlobalLogProcessor):
                runner.log_processor.skip(checkpoint['message_hub']['log_scalars'])
        elif current_task(runner) in ('val', 'test'):
            try:
                # Really loaded, not only compared: load hooks may resize position tables.
                model.load_state_dict({key: value for key, value in found.items()
                                       if key in expected or not key.startswith(_HEADS)})
            except RuntimeError as error:
                check_fit(found, expected, runner._load_from, config)
                raise InputError(f'{runner._load_from}: {error}') from None
