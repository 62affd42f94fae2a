"""A config's test in many views, and mmaction2's own of the same views."""
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from vicmae_mm.registry import MODELS, TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .data_delivery import children_seconds

Receive = Callable[[dict], Any]

# What mmaction2 has in the place of a transform of ours.
STOCK_STEPS: dict[str, Callable[[dict], list[dict]]] = {
    'vicmae_mm.VideoInit': lambda step: [dict(type='mmaction.DecordInit')],
    'vicmae_mm.VideoDecode': lambda step: [dict(type='mmaction.DecordDecode')],
    'vicmae_mm.PackViews': lambda step: [
        *_stock_steps(step.get('transforms', ())),
        dict(type='mmaction.ThreeCrop', crop_size=step['crop_size']),
        dict(type='mmaction.FormatShape', input_format=step.get('input_format', 'NCTHW')),
        dict(type='mmaction.PackActionInputs', meta_keys=step.get('meta_keys', ()))],
}


class TestWay:
    """One way from videos to a model.

    Args:
        cfg (Config): With ``test_dataloader`` and ``model``.
        list_file (str): Videos and labels.
        stock (bool): By mmaction2's own dataset, transforms and data preprocessor alone.
        device (str): Of the data preprocessor.
    """
    __test__ = False  # pytest: no test

    def __init__(self, cfg: Config, list_file: str, stock: bool, device: str) -> None:
        dataset = dict(cfg.test_dataloader.dataset)
        preprocessor = dict(cfg.model.data_preprocessor)
        if stock:
            dataset = dict(type='mmaction.VideoDataset', test_mode=True,
                           pipeline=stock_pipeline(dataset['pipeline']))
            preprocessor['type'] = 'mmaction.ActionDataPreprocessor'
        place = dict(ann_file=list_file, data_root='', data_prefix=dict(video=''))
        self.loader_cfg = dict(cfg.test_dataloader, dataset=dict(dataset, **place))
        self.preprocessor = MODELS.build(preprocessor).to(device)

    def pipeline(self) -> Compose:
        """The transforms, built anew."""
        return Compose([TRANSFORMS.build(step)
                        for step in self.loader_cfg['dataset']['pipeline']])

    def loader(self) -> DataLoader:
        """The data loader, as the runner builds it."""
        return Runner.build_dataloader(self.loader_cfg)

    def send(self, batch: dict) -> Tensor:
        """The views of a batch's first video, as bytes on the device."""
        return self.preprocessor.cast_data(batch)['inputs'][0]

    def normalise(self, batch: dict) -> Tensor:
        """What the model takes."""
        return self.preprocessor(batch)['inputs']


def record(path: str) -> dict:
    """What a dataset knows of a video."""
    return dict(filename=path, label=0, start_index=0, modality='RGB')


def stock_pipeline(pipeline: Sequence[dict]) -> list[dict]:
    """mmaction2's transforms for the same views.

    Raises:
        ValueError: ``PackViews`` is not among those of the pipeline.
    """
    if not any(step['type'] == 'vicmae_mm.PackViews' for step in pipeline):
        raise InputError('the pipeline of test_dataloader has no vicmae_mm.PackViews: there is '
                         'nothing to compare.')
    return _stock_steps(pipeline)


def _stock_steps(steps: Sequence[dict]) -> list[dict]:
    return [stock for step in steps
            for stock in STOCK_STEPS.get(step['type'], lambda step: [step])(step)]


@dataclass(frozen=True)
class Delivery:
    """Seconds a video.

    Attributes:
        wall: That pass.
        workers: CPU of the data loader's workers.
        main: CPU of this process, in all threads.
        results: What was made of each video.
    """
    wall: float
    workers: float
    main: float
    results: list[Any]


@torch.no_grad()
def deliver(loader: DataLoader, receive: Receive) -> Delivery:
    """Take all batches of one video; the first of each worker, its start in it, is not measured.

    Args:
        loader: With workers, and at least two videos for each.
        receive: What becomes of a batch; what it returns is kept.
    """
    batches = iter(loader)
    results = [receive(batch) for batch in islice(batches, loader.num_workers)]
    before = _clocks()
    results += [receive(batch) for batch in batches]
    count = len(results) - loader.num_workers
    wall, workers, main = (
        (now - then) / count for now, then in zip(_clocks(), before, strict=True))
    return Delivery(wall, workers, main, results)


def _clocks() -> tuple[float, float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), children_seconds(), time.process_time()
