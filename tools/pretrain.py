"""Pre-train on your own videos or photos.

    vicmae pretrain videos --out work_dirs/mine
    vicmae pretrain videos --out work_dirs/large --model vit-b16 --devices 8 --epochs 400
    vicmae pretrain videos --out work_dirs/adapted --init mae_pretrain_vit_base.pth
    vicmae reconstruct work_dirs/mine videos/clip.mp4

DATA is a folder of videos, of images or of both; a list or csv of them; packed frames; or one
recording. Long recordings are cut into segments. Settings that you leave out are chosen and
printed. The checkpoints and the config, pretrain.py, which `vicmae train` accepts, are written to
DIR. The same command again continues the run after its newest checkpoint.
"""
import argparse
import os
import signal
import sys

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)

from vicmae_mm.commands.launcher import detect_launcher
from vicmae_mm.commands.options import KeepText, add_trust, between, positive
from vicmae_mm.commands.pretrain.run_folder import prepare_run
from vicmae_mm.commands.pretrain.settings import CPU_MODEL, DEFAULT_MODEL, NETWORKS
from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', metavar='DATA', help='a folder, list, csv, video or URL')
    parser.add_argument('--out', required=True, metavar='DIR', help='the folder of the run')
    parser.add_argument('--model', metavar='NAME', help=f'{", ".join(NETWORKS)}; default: '
                        f'{DEFAULT_MODEL}, without a GPU {CPU_MODEL}, with --init that of the file')
    parser.add_argument('--init', metavar='FILE', help='weights to start from: a file or folder '
                        'of MAE, DINOv2, timm, Hugging Face, ViC-MAE, ..., or the folder of a run')
    parser.add_argument('--devices', type=positive, default=1, metavar='N',
                        help='GPUs, or processes on a CPU (default: %(default)s)')
    parser.add_argument('--epochs', type=positive, metavar='N', help='length of the run')
    parser.add_argument('--batch-size', type=positive, metavar='N', help='pairs per device')
    parser.add_argument('--lr', type=_rate, help='learning rate, which is not scaled further')
    parser.add_argument('--workers', type=between(int, 0, 128), metavar='N',
                        help='processes per device that read the data, 0 to 128')
    parser.add_argument('--image-size', metavar='SIZE', help='pixels, or HEIGHTxWIDTH')
    parser.add_argument('--use', choices=['videos', 'images', 'both'],
                        help='what to train on, if the folder has both videos and images')
    parser.add_argument('--prefix', metavar='FOLDER', help='folder that the paths of a list are '
                        'relative to; default: the folder of the list')
    parser.add_argument('--probe', metavar='FOLDER', help='labelled photos in class folders, on '
                        'which the features are measured during the run')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--cfg-options', '--set', nargs='+', action=KeepText, metavar='KEY=VALUE',
                        help='other settings of the config')
    add_trust(parser)
    return parser.parse_args(words)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f'{text!r} should be a number between 0 and 1')
    return rate


def main() -> None:
    """Write the config, and become the process that trains it."""
    args = parse_args()
    if detect_launcher() != 'none':
        raise InputError('Start vicmae pretrain once, without torchrun, srun or mpirun: --devices '
                         'N starts the processes.')
    config, resumes = prepare_run(args)
    options = ['--resume'] * resumes + ['--devices', str(args.devices)] * (args.devices > 1)
    for path in args.trust_checkpoint or ():
        options += ['--trust-checkpoint', path]
    say('Training. The same command again continues it.\n')
    train = carried_folder('tools') / 'train.py'
    os.execv(sys.executable, [sys.executable, str(train), str(config), '--work-dir', args.out,
                              *options])


if __name__ == '__main__':
    run_tool(main)
