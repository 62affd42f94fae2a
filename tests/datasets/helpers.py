"""What the tests of datasets share: files, configs, dataloaders."""
import json
from pathlib import Path

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vicmae_mm.datasets import VideoPairDataset

READ = [
    # Without an index, every opening reads the file: some tests make that fail.
    dict(type='vicmae_mm.VideoInit', index_dir=None),
    dict(type='vicmae_mm.SampleFramePair'),
    dict(type='vicmae_mm.VideoDecode'),
]
PACK = [
    dict(type='vicmae_mm.PerFrame', transforms=[
        dict(type='mmpretrain.RandomResizedCrop', scale=32, crop_ratio_range=(0.5, 1.0)),
        dict(type='mmpretrain.RandomFlip', prob=0.5),
    ]),
    dict(type='mmpretrain.PackInputs', input_key='imgs', meta_keys=('sample_idx', 'filename')),
]
NUM_GOOD = 8
BAD = ['bad/empty.mp4', 'bad/text.mp4', 'bad/truncated.mp4', 'bad/audio.mp4', 'bad/missing.mp4']
GOOD = [f'good one/v {i}.mp4' for i in range(NUM_GOOD)]


def write_list(path: Path, names: list[str]) -> str:
    """A list with labels 0, 1, 2 ..."""
    path.write_text(''.join(f'{name} {i}\n' for i, name in enumerate(names)))
    return str(path)


def build(config: dict, **kwargs) -> VideoPairDataset:
    """The dataset of a config."""
    return VideoPairDataset(**{k: v for k, v in (config | kwargs).items() if k != 'type'})


def loader(config: dict, workers: int = 0, sampler: str = 'vicmae_mm.EpochSampler',
           persistent: bool = False) -> DataLoader:
    """A dataloader as the runner builds it."""
    return Runner.build_dataloader(dict(
        dataset=config, sampler=dict(type=sampler, shuffle=True), batch_size=4,
        num_workers=workers, persistent_workers=persistent,
        collate_fn=dict(type='default_collate')), seed=0)


def epoch_of(dataloader: DataLoader, epoch: int) -> list[tuple]:
    """Everything an epoch yields: files, bytes of both frames."""
    dataloader.sampler.set_epoch(epoch)
    items = []
    for batch in dataloader:
        first, second = batch['inputs']
        items += [(sample.filename, sample.sample_idx, a.numpy().tobytes(), b.numpy().tobytes())
                  for sample, a, b in zip(batch['data_samples'], first, second, strict=True)]
    return items


def ledger_lines(path: Path) -> list[dict]:
    """Entries of the ledger."""
    return [json.loads(line) for line in path.read_text().splitlines()]
