"""Checks that the data exist and that some samples can be read."""
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS

from vicmae_mm.utils.errors import InputError

from .findings import Findings, describe

NUM_SAMPLES = 4


def check_samples(cfg: Config, findings: Findings) -> tuple[int, Any]:
    """Build the datasets, read some training samples and collate four.

    Returns:
        The size of the training dataset and a batch of four; 0 and None where an error was found.
    """
    if cfg.get('val_dataloader') is not None:
        _build(cfg, 'val_dataloader', findings)
    dataset = _build(cfg, 'train_dataloader', findings)
    if dataset is None:
        return 0, None
    if isinstance(sampler := cfg.train_dataloader.get('sampler'), dict):
        with findings.catch('train_dataloader.sampler'):
            DATA_SAMPLERS.build(dict(sampler), default_args=dict(dataset=dataset, seed=0))
    samples = _read(dataset, findings)
    if samples:
        with findings.catch('train_dataloader.collate_fn'):
            # Not two: a list of two tensors per sample would pass for the two views of two samples.
            return len(dataset), _collate_fn(cfg.train_dataloader)((samples * 4)[:4])
    return len(dataset), None


def _build(cfg: Config, loader: str, findings: Findings) -> Any:
    with findings.catch(f'{loader}.dataset'):
        dataset = DATASETS.build(_decoding_on_cpu(cfg[loader].dataset))
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        if len(dataset):
            return dataset
        findings.error(f'{loader}.dataset is empty: correct its ann_file or data_prefix')
    return None


def _decoding_on_cpu(settings: Any) -> Any:
    """The settings without ``device`` of ``VideoInit``: CUDA does not work in a forked process."""
    if isinstance(settings, dict):
        is_init = str(settings.get('type')).split('.')[-1] == 'VideoInit'
        return type(settings)({key: _decoding_on_cpu(value) for key, value in settings.items()
                               if not (is_init and key == 'device')})
    if isinstance(settings, list):
        return [_decoding_on_cpu(each) for each in settings]
    return settings


def _read(dataset: Any, findings: Findings) -> list:
    """Evenly spread samples; as in training, other videos replace bad ones."""
    size = len(dataset)
    indices = sorted({round(n * (size - 1) / max(NUM_SAMPLES - 1, 1)) for n in range(NUM_SAMPLES)})
    samples, num_bad, begin = [], 0, time.monotonic()
    for index in indices:
        try:
            samples.append(dataset[index])
        except Exception as error:
            findings.error(f'sample {index} of train_dataloader.dataset: {describe(error)}')
            return []
        # The dataset logs why a video is bad, and logged warnings become findings.
        known = getattr(dataset, 'bad_videos', ())
        num_bad += bool(known) and dataset.get_data_info(index)['filename'] in known
    seconds = (time.monotonic() - begin) / len(indices)
    if num_bad == len(indices):
        findings.error(f'all {num_bad} videos that were read are bad (see the warnings): find the '
                       'others with tools/data/check_videos.py')
    findings.note(f'data: {size:,} samples for training; {len(indices)} read, '
                  f'{1000 * seconds:.0f} ms each')
    return samples


def _collate_fn(loader: Any) -> Callable:
    """Build the function as mmengine's ``Runner.build_dataloader`` does."""
    collate_fn = loader.get('collate_fn', pseudo_collate)
    if not isinstance(collate_fn, dict):
        return collate_fn
    settings = dict(collate_fn)
    kind = settings.pop('type')
    function = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
    if function is None:
        raise InputError(f'{kind!r} is not a registered function')
    return partial(function, **settings)
