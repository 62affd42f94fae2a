"""What a test in many views costs, 7 x 3 in Kinetics, next to mmaction2's own pipeline.

Cuts clips out of videos, encodes them as Kinetics is (short side 256, x264, crf 23) and reads the
views of a config's test_dataloader from them: as the config says, and by mmaction2's own dataset,
transforms (DecordInit, DecordDecode, ThreeCrop, FormatShape) and data preprocessor. Compares the
views, then prints where a worker's time goes, and what the data loader of each delivers. Clips are
in memory, as the system caches files.

With --model, the config's model with random weights predicts, too, and its scores are compared. On
a CPU most models take far longer than any data; --cfg-options can make one small.

  C=configs/transfer/kinetics400/finetune_vit-b16_16x4.py
  python benchmarks/run.py views $C data/kinetics400/videos_val --workers 8 --model
  python benchmarks/run.py views $C a.mp4 b.mp4 --model --device cpu \\
      --cfg-options model.backbone.arch=deit-tiny model.backbone.patch_size=112 \\
      model.cls_head.in_channels=192
"""
import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils.dl_utils import set_multi_processing

from vicmae_mm.commands.options import add_device
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores

from .clips import add_clips, cut_pieces, encode, find_videos
from .config_options import add_config, read_config
from .data_stages import StageTimes
from .measuring import describe_machine, describe_speed_up, interleave, markdown_table
from .progress import track
from .views_ways import Delivery, TestWay, deliver, record

SUMMARY = "what a Kinetics test in 7 x 3 views costs, next to mmaction2's pipeline"
STOCK, OURS = 'mmaction2', 'the config'
STAGES = {  # of the transforms that sample neither frames nor views
    'DecordInit': 'open', 'VideoInit': 'open', 'DecordDecode': 'decode', 'VideoDecode': 'decode',
    'Resize': 'resize', 'ThreeCrop': 'views', 'FormatShape': 'views', 'PackActionInputs': 'views',
    'PackViews': 'views',
}
_VIDEOS_A_WORKER = 4  # at least, lest starting and ending count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_config(parser)
    add_clips(parser, 12)
    parser.add_argument('--gop', type=int, default=250, metavar='FRAMES',
                        help='most frames between keyframes; default: %(default)s')
    parser.add_argument('--rounds', type=int, default=3, metavar='N',
                        help='how often everything is measured; default: %(default)s')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='of the data loaders; default: one for each core but one')
    parser.add_argument('--model', action='store_true', help="predict with the config's model")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        FileNotFoundError: A path leads nowhere.
        ImportError: decord or PyAV is not installed.
        ValueError: An option is out of range, no clip can be made, or the config has no test in
            views that could be compared.
    """
    cfg = _read_config(args)
    print(describe_machine('mmaction2', 'decord', 'av', 'opencv-python'))
    with TemporaryDirectory() as scratch:
        pieces = cut_pieces(find_videos(args.videos), scratch, args.clips, args.seconds)
        clips = encode(pieces, os.path.join(scratch, 'clips'), args.gop)
        times = -(-_VIDEOS_A_WORKER * cfg.test_dataloader.num_workers // len(clips))
        list_file = os.path.join(scratch, 'list.txt')
        with open(list_file, 'w') as file:
            file.writelines(f'{clip} 0\n' for clip in clips * times)
        ways = {name: TestWay(cfg, list_file, name == STOCK, args.device)
                for name in (STOCK, OURS)}
        print(f'{len(clips)} clips of {args.seconds:g} s, GOP {args.gop}, '
              f'{cfg.test_dataloader.num_workers} workers. {_compare_views(ways, clips)}')
        print(f'\n{_stage_table(ways, clips, args.rounds)}\n')
        print(_delivery_table(ways, _receivers(ways, cfg, args), args.rounds))


def _read_config(args: argparse.Namespace) -> Config:
    """The config, with ``test_dataloader`` as it is read here."""
    workers = args.workers or max(1, num_cores() - 1)
    if min(args.gop, args.clips, args.rounds, workers) < 1 or args.seconds <= 0:
        raise InputError('--gop, --clips, --rounds, --workers and --seconds must be positive.')
    cfg = read_config(args)
    if cfg.get('test_dataloader') is None or cfg.get('model') is None:
        raise InputError(f'{args.config} has no test_dataloader and model: nothing can be tested.')
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    cfg.test_dataloader.update(batch_size=1, num_workers=workers, persistent_workers=False)
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    cv2.setNumThreads(1)
    return cfg


def _compare_views(ways: Mapping[str, TestWay], clips: Sequence[str]) -> str:
    pipelines = {name: way.pipeline() for name, way in ways.items()}
    largest, different = 0, 0
    for clip in track(clips, 'Comparing views'):
        stock, ours = (pipelines[name](record(clip))['inputs'].to('cpu') for name in (STOCK, OURS))
        difference = int((stock.int() - ours.int()).abs().max())
        largest, different = max(largest, difference), different + bool(difference)
    shape = ' x '.join(map(str, ours.shape))
    if not different:
        return f'Views of {shape} bytes, equal in all clips'
    return (f'Views of {shape} bytes: {different} clips differ by up to {largest}. Those are clips '
            'of which decord returns other frames than a decode from the start')


def _stage_table(ways: Mapping[str, TestWay], clips: Sequence[str], rounds: int) -> str:
    """CPU time of the transforms in this process."""
    watches = {name: StageTimes() for name in ways}
    methods: dict[str, Callable[[str], object]] = {}
    for name, way in ways.items():
        pipeline = way.pipeline()
        watches[name].watch(pipeline)
        methods[name] = lambda clip, pipeline=pipeline: pipeline(record(clip))  # type: ignore[misc]
    seconds = interleave(methods, clips, rounds)
    runs = len(clips) * rounds + 1  # interleave does the first once more
    stages = {stage: dict.fromkeys(ways, 0.)
              for stage in ('open', 'sample', 'decode', 'resize', 'views')}
    for name, watch in watches.items():
        for transform, spent in watch.seconds.items():
            stages[STAGES.get(transform.split(' > ')[-1], 'sample')][name] += spent / runs
    rows = [(stage, *(f'{1000 * spent[name]:.1f}' for name in ways), '')
            for stage, spent in stages.items()]
    rows.append(('all, median', *(f'{1000 * np.median(seconds[name]):.1f}' for name in ways),
                 describe_speed_up(seconds[STOCK], seconds[OURS])))
    return markdown_table(
        ('CPU ms a video in a worker', *ways, 'speed-up (quartiles)'), rows)


def _receivers(ways: Mapping[str, TestWay], cfg: Config,
               args: argparse.Namespace) -> dict[str, dict[str, Callable[[dict], object]]]:
    """What is made of a batch, further and further."""
    made: dict[str, dict[str, Callable[[dict], object]]] = {
        f'bytes on {args.device}': {name: partial(_drop, way.send) for name, way in ways.items()},
        'normalised': {name: partial(_drop, way.normalise) for name, way in ways.items()},
    }
    if args.model:
        model = MODELS.build(cfg.model).to(args.device).eval()
        made['scores'] = {name: partial(_predict, model, way) for name, way in ways.items()}
    return made


def _drop(function: Callable[[dict], object], batch: dict) -> None:
    function(batch)


def _predict(model: Any, way: TestWay, batch: dict) -> torch.Tensor:
    model.data_preprocessor = way.preprocessor
    return model.test_step(batch)[0].pred_score


def _delivery_table(ways: Mapping[str, TestWay], receivers: Mapping[str, Mapping[str, Callable]],
                    rounds: int) -> str:
    rows = []
    for made, receive in receivers.items():
        taken: dict[str, list[Delivery]] = {name: [] for name in ways}
        for _ in track(range(rounds), f'Testing: {made}'):
            for name, way in ways.items():
                taken[name].append(deliver(way.loader(), receive[name]))
        wall = {name: np.array([each.wall for each in taken[name]]) for name in ways}
        rows += [
            (made, name, f'{1000 * np.median(wall[name]):.0f}',
             describe_speed_up(wall[STOCK], wall[name]),
             *(f'{1000 * np.median([getattr(each, part) for each in taken[name]]):.0f}'
               for part in ('workers', 'main'))) for name in ways]
        if made == 'scores':
            stock, ours = (torch.stack(taken[name][0].results) for name in ways)
            print(f'Scores differ by {(stock - ours).abs().max():.1e} at most\n')
    return markdown_table(
        ('made of a video', 'by', 'wall ms', 'speed-up (quartiles)', 'CPU ms in workers',
         'CPU ms in the main process'), rows)
