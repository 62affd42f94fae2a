"""Attention kernels for short sequences, by config."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class PackedAttentionHook(Hook):
    """Train with :func:`~vicmae_mm.models.layers.packed_attention.packed_attention`.

    Where its kernels do not apply (CPU, fp32, long sequences), torch's are used as before. Before
    torch 2.4, an ImportError.
    """

    def __init__(self) -> None:
        # Imported here, because the module needs torch 2.4.
        from vicmae_mm.models.layers.packed_attention import use_packed_attention
        self._use_packed_attention = use_packed_attention

    def before_train(self, runner: Runner) -> None:
        if count := self._use_packed_attention(unwrapped_model(runner)):
            runner.logger.info(f'{count} attention layers read queries, keys and values in place.')
        else:
            runner.logger.warning('PackedAttentionHook found no attention layer of mmpretrain that '
                                  'it can convert: it has no effect here.')
