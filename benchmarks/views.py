"""Cost of a Kinetics test in 7 x 3 views, next to mmaction2's pipeline.

Cuts clips out of videos, encodes them like Kinetics (short side 256, x264, crf 23) and reads the
views of a config's test_dataloader from them: as the config says, and with mmaction2's own dataset,
transforms (DecordInit, DecordDecode, ThreeCrop, FormatShape) and data preprocessor. Compares the
views, then prints where a worker's time goes and what the data loader of each delivers. Clips are
in memory, as the system caches files. With --model, the config's model with random weights predicts
as well, and the scores are compared; on a CPU, --cfg-options can make it small enough.

  C=configs/transfer/kinetics400/finetune_vit-b16_16x4.py
  vicmae benchmark views $C data/kinetics400/videos_val --workers 8 --model
  vicmae benchmark views $C a.mp4 b.mp4 --model --device cpu --cfg-options \\
      model.backbone.arch=deit-tiny model.backbone.patch_size=112 model.cls_head.in_channels=192
"""
import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from vicmae_mm.commands.options import positive
from vicmae_mm.registry import MODELS, TRANSFORMS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import track

from .clips import add_clips, cut_pieces, encode
from .data_costs import watch_pipeline
from .options import add_config, read_config
from .output import doing, print_machine, print_table
from .timing import REST, Clock, Delivery, PartTimer, deliver, interleave, speed_up

STOCK, OURS = 'mmaction2', 'the config'
STAGES = {  # of transforms; any other one samples frames
    'DecordInit': 'open', 'VideoInit': 'open', 'DecordDecode': 'decode', 'VideoDecode': 'decode',
    'Resize': 'resize', 'ThreeCrop': 'views', 'FormatShape': 'views', 'PackActionInputs': 'views',
    'PackViews': 'views'}
# what mmaction2 has in the place of a transform of this project
STOCK_STEPS: dict[str, Callable[[dict], list[dict]]] = {
    'vicmae_mm.VideoInit': lambda step: [dict(type='mmaction.DecordInit')],
    'vicmae_mm.VideoDecode': lambda step: [dict(type='mmaction.DecordDecode')],
    'vicmae_mm.PackViews': lambda step: [
        *_stock_steps(step.get('transforms', ())),
        dict(type='mmaction.ThreeCrop', crop_size=step['crop_size']),
        dict(type='mmaction.FormatShape', input_format=step.get('input_format', 'NCTHW')),
        dict(type='mmaction.PackActionInputs', meta_keys=step.get('meta_keys', ()))]}


class ViewReader:
    """The way from videos to a model's input: the config's, or with ``stock`` mmaction2's."""

    def __init__(self, cfg: Config, list_file: str, stock: bool, device: str) -> None:
        dataset, preprocessor = cfg.test_dataloader.dataset, dict(cfg.model.data_preprocessor)
        if stock:
            dataset = dict(type='mmaction.VideoDataset', test_mode=True,
                           pipeline=stock_pipeline(dataset.pipeline))
            preprocessor['type'] = 'mmaction.ActionDataPreprocessor'
        self.loader_cfg = dict(cfg.test_dataloader, dataset=dict(
            dataset, ann_file=list_file, data_root='', data_prefix=dict(video='')))
        self.preprocessor = MODELS.build(preprocessor).to(device)

    def pipeline(self) -> Compose:
        return Compose([TRANSFORMS.build(step) for step in self.loader_cfg['dataset']['pipeline']])


def stock_pipeline(pipeline: Sequence[dict]) -> list[dict]:
    """Return mmaction2's transforms for the same views."""
    if not any(step['type'] == 'vicmae_mm.PackViews' for step in pipeline):
        raise InputError('The pipeline of test_dataloader has no vicmae_mm.PackViews: there is '
                         'nothing to compare.')
    return _stock_steps(pipeline)


def _stock_steps(steps: Sequence[dict]) -> list[dict]:
    return [stock for step in steps
            for stock in STOCK_STEPS.get(step['type'], lambda step: [step])(step)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_clips(parser, 12, 250)
    parser.add_argument('--workers', type=positive, metavar='N',
                        help='of the data loaders; default: one for each core but one')
    parser.add_argument('--model', action='store_true', help="predict with the config's model")


def run(args: argparse.Namespace) -> None:
    args.workers = args.workers or max(1, num_cores() - 1)
    cfg = read_config(args)
    if cfg.get('test_dataloader') is None or cfg.get('model') is None:
        raise InputError(f'{args.config} has no test_dataloader and model: nothing can be tested.')
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    cfg.test_dataloader.update(batch_size=1, num_workers=args.workers, persistent_workers=False)
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    cv2.setNumThreads(1)
    print_machine('mmaction2', 'decord', 'av', 'opencv-python')
    with TemporaryDirectory() as scratch:
        pieces = cut_pieces(args.videos, scratch, args.clips, args.seconds)
        clips = encode(pieces, os.path.join(scratch, 'clips'), args.gop)
        # at least 4 per worker, so that starting and ending hardly count
        times = -(-4 * args.workers // len(clips))
        list_file = os.path.join(scratch, 'list.txt')
        Path(list_file).write_text(''.join(f'{clip} 0\n' for clip in clips * times))
        readers = {name: ViewReader(cfg, list_file, name == STOCK, args.device)
                   for name in (STOCK, OURS)}
        print(f'{len(clips)} clips of {args.seconds:g} s, GOP {args.gop}, {args.workers} workers. '
              f'{_compare_views(readers, clips)}\n')
        _print_stages(readers, clips, args.rounds)
        print()
        _print_deliveries(readers, cfg, args)


def _read(pipeline: Compose, clip: str) -> Any:
    return pipeline(dict(filename=clip, label=0, start_index=0, modality='RGB'))['inputs']


def _compare_views(readers: Mapping[str, ViewReader], clips: Sequence[str]) -> str:
    pipelines = [readers[name].pipeline() for name in (STOCK, OURS)]
    largest, different = 0, 0
    for clip in track(clips, 'Comparing views'):
        stock, ours = (_read(pipeline, clip).to('cpu') for pipeline in pipelines)
        difference = int((stock.int() - ours.int()).abs().max())
        largest, different = max(largest, difference), different + bool(difference)
    shape = ' x '.join(map(str, ours.shape))
    if not different:
        return f'Views of {shape} bytes, equal in all clips'
    return (f'Views of {shape} bytes: {different} clips differ by up to {largest}. Those are clips '
            'of which decord returns other frames than a decode from the start')


def _print_stages(readers: Mapping[str, ViewReader], clips: Sequence[str], rounds: int) -> None:
    """Print the CPU time of the transforms, run in this process."""
    timers, methods = {}, {}
    for name, reader in readers.items():
        pipeline, timers[name] = reader.pipeline(), PartTimer(Clock('cpu'))
        watch_pipeline(timers[name], pipeline)
        methods[name] = partial(_read, pipeline)
    seconds = interleave(methods, Clock('cpu'), rounds, [(clip, ) for clip in clips])
    stages = {stage: dict.fromkeys(readers, 0.)
              for stage in ('open', 'sample', 'decode', 'resize', 'views')}
    # the first clip is read once more
    runs = len(clips) * rounds + 1
    for name, timer in timers.items():
        for transform, spent in timer.seconds().items():
            # the rest is the time between two calls
            if transform != REST:
                stages[STAGES.get(transform.split(' > ')[-1], 'sample')][name] += spent / runs
    rows = [(stage, *(f'{1000 * spent[name]:.1f}' for name in readers), '')
            for stage, spent in stages.items()]
    rows.append(('all, median', *(f'{1000 * np.median(seconds[name]):.1f}' for name in readers),
                 speed_up(seconds[STOCK], seconds[OURS])))
    print_table(('CPU ms per video in a worker', *readers, 'speed-up (quartiles)'), rows)


def _receive(made: str, reader: ViewReader, model: Any, batch: dict) -> torch.Tensor | None:
    if made == 'scores':
        model.data_preprocessor = reader.preprocessor
        return model.test_step(batch)[0].pred_score
    # not kept: the views of all videos may not fit into memory
    (reader.preprocessor if made == 'normalised' else reader.preprocessor.cast_data)(batch)
    return None


def _print_deliveries(readers: Mapping[str, ViewReader], cfg: Config,
                      args: argparse.Namespace) -> None:
    """Print the costs of bytes on the device, of the model's input and of its scores."""
    model = MODELS.build(cfg.model).to(args.device).eval() if args.model else None
    rows = []
    for made in (f'bytes on {args.device}', 'normalised', 'scores')[:3 if args.model else 2]:
        found: dict[str, list[Delivery]] = {name: [] for name in readers}
        with doing(f'Testing: {made}'):
            for _ in range(args.rounds):
                for name, reader in readers.items():
                    found[name].append(deliver(Runner.build_dataloader(reader.loader_cfg),
                                               partial(_receive, made, reader, model)))
        wall = {name: np.array([each.wall for each in found[name]]) for name in readers}
        rows += [
            (made, name, f'{1000 * np.median(wall[name]):.0f}', speed_up(wall[STOCK], wall[name]),
             *(f'{1000 * np.median([getattr(each, part) for each in found[name]]):.0f}'
               for part in ('workers', 'main'))) for name in readers]
        if made == 'scores':
            stock, ours = (torch.stack(found[name][0].results) for name in readers)
            print(f'Scores differ by {(stock - ours).abs().max():.1e} at most\n')
    print_table(
        ('made of each video', 'by', 'wall ms', 'speed-up (quartiles)', 'CPU ms in workers',
         'CPU ms in the main process'), rows)
