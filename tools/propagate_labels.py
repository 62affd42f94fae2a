"""Propagate labels through videos: DAVIS, JHMDB, VIP.

    vicmae propagate CHECKPOINT --dataset davis --data-root data/DAVIS
    vicmae propagate CHECKPOINT --dataset jhmdb --data-root data/JHMDB
    vicmae propagate CHECKPOINT --dataset vip --data-root data/VIP_Fine --pictures

The labels of the first frame are propagated by frozen features, with the protocol of SiamMAE and
CropMAE. The scores are J&F on DAVIS-2017, PCK on JHMDB and mIoU on VIP. Videos that were already
scored with the same settings are not scored again. docs/dense.md has the layouts and sources.
"""
import argparse
import os
import signal
from pathlib import Path

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.label_propagation.datasets import Davis, Jhmdb, Vip
from vicmae_mm.commands.label_propagation.dense_evaluation import DenseEvaluation
from vicmae_mm.commands.options import (
    add_checkpoint,
    add_device,
    add_trust,
    between,
    positive,
    positive_number,
)
from vicmae_mm.commands.result_files import results_folder
from vicmae_mm.commands.run_tool import run_tool
from vicmae_mm.commands.transfer.cached_features import checkpoint_key
from vicmae_mm.evaluation.label_propagation import LabelPropagation
from vicmae_mm.utils.atomic_files import check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say

DATASETS = dict(davis=Davis, jhmdb=Jhmdb, vip=Vip)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint(parser)
    parser.add_argument('--dataset', required=True, choices=DATASETS)
    parser.add_argument('--data-root', required=True, help='its folder')
    parser.add_argument('--videos', nargs='+', metavar='NAME', help='default: all of the split')
    parser.add_argument('--size', nargs='+', type=positive, metavar='PX', help='height and width '
                        'of the input, or its long side (default: davis 480 880, jhmdb 320 320, '
                        'vip 880)')
    parser.add_argument('--temperature', type=positive_number, default=0.7,
                        help='default: %(default)s')
    parser.add_argument('--top-k', type=positive, help='cells that vote (default: 7, for vip 10)')
    parser.add_argument('--radius', type=positive_number, default=20,
                        help='of the search in the frames before, in cells (default: %(default)s)')
    parser.add_argument('--context-frames', type=between(int, 0, 10**6), default=20,
                        help='frames before, besides the first (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='folder for tables, masks and pictures '
                        '(default: work_dirs/label_propagation/RUN_CHECKPOINT)')
    parser.add_argument('--masks', action='store_true', help='write masks as DAVIS has them')
    parser.add_argument('--pictures', action='store_true', help='write a picture of each video')
    add_trust(parser)
    add_device(parser)
    return parser.parse_args()


def main() -> None:
    """Score the videos; print and save the table."""
    args = parse_args()
    dataset = DATASETS[args.dataset](args.data_root)
    if args.masks and args.dataset == 'jhmdb':
        raise InputError('--masks: JHMDB has joints, not masks. --pictures shows them.')
    size = tuple(args.size or dataset.size)
    if len(size) > 2:
        raise InputError('--size should be height and width of the input, or its long side.')
    settings = LabelPropagation(args.temperature, dataset.top_k if args.top_k is None else
                                args.top_k, args.radius, args.context_frames)
    videos = {video.name: video for video in dataset.videos()}
    unknown = set(args.videos or ()) - videos.keys()
    if unknown or not videos:
        raise InputError(f'--videos: the split has no {", ".join(sorted(unknown))}.' if videos else
                         f'{dataset.paths[0]} lists no video.')
    encoder = load_backbone(args.checkpoint, args.config, args.device)
    out = args.out or results_folder('label_propagation', args.checkpoint)
    table = out / f'{args.dataset}.json'
    check_writable(table)
    evaluation = DenseEvaluation(
        dataset, encoder, size, settings, args.checkpoint,
        checkpoint_key(args.checkpoint, args.config), table, args.masks, args.pictures)
    print('\n'.join(evaluation.score(videos, args.videos or [*videos])))
    say(f'Wrote {table} and {table.with_suffix(".md")}')


if __name__ == '__main__':
    run_tool(main)
