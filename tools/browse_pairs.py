"""Draw the pairs of frames that training sees.

    vicmae browse configs/vicmae_vit-b16_k400.py --out pairs.png
    vicmae browse configs/vicmae_vit-b16_k400.py --count 4 --epoch 3 \\
        --cfg-options train_dataloader.dataset.data_root=path/to/videos

The samples are evenly spread over the training data (at least one of each dataset in a mix). Next
to them are the whole frames, with their numbers and times. Frames, crops and flips are those that
training draws in the given epoch. Augmentation that runs on the GPU is not shown.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)
import numpy as np
from mmengine.registry import DATASETS, init_default_scope

from vicmae_mm.commands.options import KeepText, merge_settings, open_config, positive
from vicmae_mm.datasets import MixedPairs, SampleIndex
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.utils.errors import SOME_ARE_BAD, InputError
from vicmae_mm.utils.progress import track
from vicmae_mm.visualization import check_picture, write_picture
from vicmae_mm.visualization.pairs import draw_samples, trace_sample


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of a pre-training config')
    parser.add_argument('--out', type=Path, default=Path('pairs.png'),
                        help='a .png or .jpg file (default: %(default)s)')
    parser.add_argument('--count', type=positive, default=6, help='samples (default: %(default)s)')
    parser.add_argument('--epoch', type=int, default=0,
                        help='the epoch whose draws are shown, from 0 (default: %(default)s)')
    parser.add_argument('--prefix', default='', metavar='FOLDER',
                        help='folder of the videos of packed frames, for their times')
    parser.add_argument('--cfg-options', nargs='+', action=KeepText, metavar='KEY=VALUE',
                        help='settings to replace in the config')
    args = parser.parse_args()
    if args.epoch < 0:
        parser.error('--epoch must be 0 or more')
    return args


def main() -> int | None:
    """Draw the picture and print its path; return the exit status."""
    args = parse_args()
    check_picture(args.out)
    cfg = open_config(args.config)
    merge_settings(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    if cfg.get('train_dataloader') is None:
        raise InputError(f'{args.config} has no train_dataloader.')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if not isinstance(dataset, MixedPairs):
        dataset = next(iter(innermost_datasets(dataset)))
    seed = cfg.get('randomness', {}).get('seed') or 0
    spread = np.linspace(0, len(dataset) - 1, args.count).round().astype(int).tolist()
    # One of each dataset of a mix at least
    positions = sorted({*spread, *getattr(dataset, 'starts', ())})
    samples = []
    for position in track(positions, 'Reading'):
        try:
            index, source = SampleIndex(position, seed, args.epoch), dataset
            if isinstance(dataset, MixedPairs):
                number, index = dataset.locate(index)
                source = next(iter(innermost_datasets(dataset.datasets[number])))
            samples.append(trace_sample(source, index, args.prefix))
        except VideoError as error:
            print(f'Left out: {error}', file=sys.stderr)
    if not samples:
        raise InputError('None of these samples can be read.')
    write_picture(args.out, draw_samples(samples))
    print(f'Wrote {args.out}: {len(samples)} samples of {len(dataset):,}')
    return SOME_ARE_BAD if len(samples) < len(positions) else None


if __name__ == '__main__':
    run_tool(main)
