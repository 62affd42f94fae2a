"""Building the dataloaders of a run, and reading some samples."""
import re
import time
from collections.abc import Callable, Sized
from copy import deepcopy
from typing import Any, cast

from torch import Tensor
from torch.utils.data import DataLoader

from vicmae_mm.commands.run_length import nested_dicts
from vicmae_mm.datasets import EpochSampler, SampleIndex
from vicmae_mm.utils.errors import InputError

from .findings import Findings, describe

NUM_SAMPLES = 4
# Replacements for a part with an error, so that errors in other parts are found too.
_STAND_INS: tuple[dict[str, Any], ...] = (
    {}, dict(batch_size=1), dict(sampler=dict(type='mmengine.DefaultSampler')),
    dict(dataset=range(NUM_SAMPLES)))


def build_loader(settings: Any, name: str, build: Callable[[dict], DataLoader],
                 findings: Findings) -> DataLoader:
    """Build the dataloader ``name``; one with an error has stand-ins for parts of it."""
    settings = dict(deepcopy(settings))
    for each in nested_dicts(settings):
        if str(each.get('type')).rpartition('.')[2] == 'VideoInit':
            each.pop('device', None)  # CUDA does not work in a forked process
    workers = settings.get('num_workers', 0)
    if not isinstance(workers, int):
        findings.error(f'{name}.num_workers={workers!r} must be a number of processes')
        settings['num_workers'] = 1
    for stand_in in _STAND_INS:
        with findings.catch(name):
            loader = build({**settings, **stand_in})
            if loader.batch_sampler is None:
                raise InputError('batch_size=None makes no batches: set a number')
            if len(cast(Sized, loader.dataset)):
                return loader
            findings.error(f'{name}.dataset is empty: correct its ann_file or data_prefix')
    return DataLoader(cast(Any, range(NUM_SAMPLES)))


def read_samples(loader: DataLoader, findings: Findings, split: str = 'train',
                 most: int = NUM_SAMPLES) -> list:
    """Evenly spread samples, with others in place of bad videos; empty after an error."""
    dataset: Any = loader.dataset
    if isinstance(dataset, range):  # a stand-in
        return []
    size = len(dataset)
    spread = sorted({round(n * (size - 1) / max(most - 1, 1)) for n in range(most)})
    # A batch of them has one of each source.
    indices = [*dict.fromkeys([*getattr(dataset, 'starts', ()), *spread])]
    samples, num_bad, begin = [], 0, time.monotonic()
    for index in indices:
        if isinstance(loader.sampler, EpochSampler):
            index = SampleIndex(index, loader.sampler.seed, 0)
        try:
            samples.append(dataset[index])
        except Exception as error:
            findings.error(f'sample {index} of {split}_dataloader.dataset: {describe(error)}')
            return []
        # The dataset logs why a video is bad, and logged warnings become findings.
        known: Any = getattr(dataset, 'bad_videos', None)
        num_bad += bool(known) and dataset.part_of(dataset.get_data_info(index)) in known
    seconds = (time.monotonic() - begin) / len(indices)
    if num_bad == len(indices):
        findings.error(f'all {num_bad} {known.noun}s that were read are bad (see the warnings). '
                       f'{known.remedy}')
    use = dict(train='training', val='validation', test='the test')[split]
    findings.note(f'data: {size:,} samples for {use}; {len(indices)} read, '
                  f'{1000 * seconds:.0f} ms each')
    return samples


def check_image_size(runner: Any, split: str, batch: Any) -> None:
    """Warn if collated samples, or without them no transform, have the backbone's ``img_size``."""
    settings = runner.cfg.get(f'{split}_dataloader')
    size = getattr(getattr(runner.model, 'backbone', None), 'img_size', None)
    inputs = batch.get('inputs') if isinstance(batch, dict) else None
    while isinstance(inputs, (list, tuple)) and inputs:
        inputs = inputs[0]
    found = {*inputs.shape[-2:]} if isinstance(inputs, Tensor) and inputs.ndim > 2 else {
        *map(int, re.findall(r'\b\d+\b', str(settings)))}
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, )
    is_turned = isinstance(inputs, Tensor) and len({*sides}) > 1 and inputs.shape[-2:] != sides
    if size and settings and (is_turned or not {*sides} <= found):
        runner.findings.warn(
            f'{split}_dataloader does not deliver images of {size} pixels, the img_size of '
            'model.backbone, so time and memory differ. image_size=N, a multiple of the patch '
            'size, sets both')
