"""Logging the losses of the global batch instead of the main process's share."""
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import LogProcessor, Runner

from vicmae_mm.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class GlobalLogProcessor(LogProcessor):
    """mmengine's ``LogProcessor``, whose averages in training are also over all processes.

    What it averages over an interval, that is scalars with "loss" in their names and those of
    ``custom_cfg`` with ``method_name='mean'``, is averaged over processes by one reduction each
    time a line is logged. Processes have equal batch sizes, so a mean over samples becomes that of
    the global batch. All other scalars, such as the learning rate, are left as they are.

    All arguments are those of ``LogProcessor``.
    """

    def _collect_scalars(self, custom_cfg: list[dict], runner: Runner, mode: str,
                         reserve_prefix: bool = False) -> dict[str, Any]:
        tag = super()._collect_scalars(custom_cfg, runner, mode, reserve_prefix)
        means = {cfg.get('log_name', cfg['data_src']) for cfg in custom_cfg
                 if cfg.get('method_name') == 'mean'}
        # Losses and means have the same names, in the same order, on all processes.
        names = [name for name in tag
                 if 'loss' in name or name.removeprefix(f'{mode}/') in means]
        if mode == 'train' and names:
            values = torch.tensor([tag[name] for name in names], dtype=torch.float64)
            all_reduce(values, 'mean')
            tag.update(zip(names, values.tolist(), strict=True))
        return tag
