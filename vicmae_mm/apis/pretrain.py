"""``vicmae pretrain`` as a function."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.progress import Progress
from vicmae_mm.utils.seeding import seeded

from .load_backbone import load_backbone

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

_SIZE = re.compile(r'Training: .* of (\d+) epochs .* of (\d+) steps')
_ERROR = re.compile(r'(?:pretrain\.py: )?error(?: \(rank \d+\))?: (.*)')  # of a tool, or its usage


def pretrain(data: str | Path, out: str | Path, *, model: str | None = None,
             init: str | Path | None = None, epochs: int | None = None, devices: int = 1,
             batch_size: int | None = None, lr: float | None = None, workers: int | None = None,
             image_size: int | str | None = None, use: str | None = None,
             prefix: str | Path | None = None, probe: str | Path | None = None, seed: int = 0,
             cfg_options: Mapping[str, Any] | None = None,
             device: str | torch.device = 'cpu') -> Encoder:
    """Pre-train on videos or photos, and load the encoder.

    Runs ``vicmae pretrain`` in a separate process, which does not change this one, and prints its
    output. A second call with the same arguments continues the run after its newest checkpoint, or
    loads the encoder if the run is finished.

    Args:
        data: A folder of videos, of images or of both; a list or csv of them; packed frames; or
            one video.
        out: Folder of the run, for its config ``pretrain.py`` and its checkpoints.
        model, init, epochs, devices, batch_size, lr, workers, image_size, use, prefix, probe, seed:
            Options of ``vicmae pretrain``. Settings that are None are chosen and printed. ``lr`` is
            not scaled to the batch; ``image_size`` is in pixels, or ``'HEIGHTxWIDTH'``.
        cfg_options: Other settings of the config, such as ``{'model.recon_weight': 1}``.
        device: Device of the encoder that is returned.

    Returns:
        The encoder of the newest checkpoint, as from :func:`load_backbone`.

    Raises:
        ValueError: An argument or the data cannot be used, or ``out`` contains another run.
        RuntimeError: Training ended with an error.
        KeyboardInterrupt: The run was interrupted; raised once it has ended.
    """
    options = {**locals()}
    words = [f'--{name.replace("_", "-")}={value}' for name, value in options.items()
             if value is not None and name not in ('data', 'cfg_options', 'device')]
    words += ['--cfg-options'] * bool(cfg_options) + [
        f'{key}={value}' for key, value in (cfg_options or {}).items()]
    _run([sys.executable, str(carried_folder('tools') / 'pretrain.py'), *words, '--', str(data)])
    with seeded((0, )):  # the caller's random numbers stay as they are
        return load_backbone(out, device=device)


def _run(command: list[str]) -> None:
    """Run a command, and print its lines where this process prints, such as a notebook's cell."""
    paths = [str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH')]
    # An interrupt may reach the whole group of processes. The child gets one signal, from here.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors='replace', env=os.environ | dict(
                PYTHONPATH=os.pathsep.join(filter(None, paths)), PYTHONUNBUFFERED='1',
                FORCE_COLOR=''))  # Jupyter sets it, but a cell is not a terminal
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    began, problem, bar, epochs = False, '', None, 1
    try:
        for line in process.stdout or ():
            if bar and (place := re.match(r'epoch (\S+) .*?eta \S+ +(.*)', line)):
                bar.update(round(float(place[1]) * bar.total / epochs), place[2])
            else:
                print(line, end='', flush=True)
            began |= line.startswith('Training: ')
            if (size := _SIZE.match(line.replace(',', ''))) and Console().is_jupyter:
                bar, epochs = Progress('Training', int(size[2])), int(size[1])
            if match := _ERROR.match(line):
                problem = problem or match[1]
        status = process.wait()
    except BaseException:
        process.terminate()
        print(process.communicate()[0], end='')
        print('The same call continues with the next batch after the last checkpoint.', flush=True)
        raise
    if status:
        kind = RunError if began else InputError
        raise kind(problem or f'Pre-training has ended with exit status {status}' + (
            ', most likely out of memory.' if status == -signal.SIGKILL else ': see above.'))
