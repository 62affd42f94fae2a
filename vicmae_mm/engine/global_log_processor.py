"""Logging the losses of the global batch instead of the main process's share."""
import math
from contextlib import suppress
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import EpochBasedTrainLoop, LogProcessor, Runner

from vicmae_mm.models import InfoNCEHead
from vicmae_mm.registry import LOG_PROCESSORS
from vicmae_mm.utils.errors import InputError

from .runner_access import unwrapped_model
from .step_size import step_size


@LOG_PROCESSORS.register_module()
class GlobalLogProcessor(LogProcessor):
    """mmengine's ``LogProcessor``, which in training also averages over all processes.

    Scalars with "loss" in their names, and those of ``custom_cfg`` with ``method_name='mean'``, are
    averaged over an interval and, by one reduction per logged line, over all processes. Processes
    have equal batch sizes, so a mean over samples becomes that of the global batch. Other scalars,
    such as the learning rate, are not changed. A scalar without a new value since the last line,
    such as a loss that is switched off, is left out.

    For ``<name>/<source>/sum`` and ``<name>/<source>/share``, the ratio is logged as
    ``<name>/<source>``: the mean over all samples of the source in the window, if there are any.

    All arguments are those of ``LogProcessor``.
    """

    _logged: dict[str, int] = {}
    _stale: set[str] = set()

    def skip(self, scalars: dict[str, Any]) -> None:
        """Leave out what gets no newer value than those of ``scalars``, in a message hub."""
        self._logged = {name: scalar.updates for name, scalar in scalars.items()}

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """As mmengine's, with speed, length of an epoch and what chance gives; keeps results."""
        record, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train':
            return record, line
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            record['epoch_length'] = len(runner.train_dataloader)
        for name in filter(record.__contains__, ('recon', 'contrast', 'pair_accuracy', 'loss')):
            runner.message_hub.update_scalar(f'logged/{name}', record[name])
        with suppress(InputError, KeyError):  # batches that differ in size, no timer
            size = step_size(runner, runner.optim_wrapper)
            record[f'{size.noun}_per_second'] = speed = size.simultaneous / record['time']
            line = line.replace('  time: ', f'  {size.noun}/s: {speed:.{int(speed < 100)}f}  data: '
                                f'{record["data_time"] / record["time"]:.0%}  time: ', 1)
            if 'pair_accuracy' in record:
                record['pair_accuracy_chance'] = 1 / size.simultaneous
                head = getattr(unwrapped_model(runner), 'contrast_head', None)
                if isinstance(head, InfoNCEHead) and not head.needs_identities:
                    record['contrast_chance'] = math.log(1 + head.num_negatives(*size[:3]))
        return record, line

    def _collect_scalars(self, custom_cfg: list[dict], runner: Runner, mode: str,
                         reserve_prefix: bool = False) -> dict[str, Any]:
        custom_cfg = custom_cfg + [
            dict(data_src=name.removeprefix('train/'), method_name='mean',
                 window_size=self.window_size)
            for name in runner.message_hub.log_scalars if name.endswith(('/sum', '/share'))]
        tag = super()._collect_scalars(custom_cfg, runner, mode, reserve_prefix)
        if mode != 'train':
            return tag
        means = {cfg.get('log_name', cfg['data_src']) for cfg in custom_cfg
                 if cfg.get('method_name') == 'mean'}
        # Losses and means have the same names, in the same order, on all processes.
        names = [name for name in tag
                 if 'loss' in name or name.removeprefix(f'{mode}/') in means]
        if names:
            values = torch.tensor([tag[name] for name in names], dtype=torch.float64)
            all_reduce(values, 'mean')
            tag.update(zip(names, values.tolist(), strict=True))
        if not reserve_prefix:  # mmengine calls it again, with the prefix, for the same line
            scalars = runner.message_hub.log_scalars
            self._stale = {name for name, scalar in scalars.items()
                           if scalar.updates == self._logged.get(name)}
            self.skip(scalars)
        source = {cfg.get('log_name'): cfg['data_src'] for cfg in custom_cfg}
        fresh = {name: value for name, value in tag.items() if 'train/' + source.get(
            plain := name.removeprefix('train/'), plain) not in self._stale}
        for name in [name for name in fresh if name.endswith('/sum')]:
            total, share = fresh.pop(name), fresh.pop(name.removesuffix('sum') + 'share')
            if share:
                fresh[name.removesuffix('/sum')] = total / share
        return fresh
