"""vicmae_mm.pretrain relays a process and its errors; the process itself is tested as a command."""
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import vicmae_mm
from vicmae_mm.apis import pretrain as _  # noqa: F401  (the module below)

module = sys.modules['vicmae_mm.apis.pretrain']


@pytest.mark.parametrize('code, kind, message', [
    ('print("error: no videos"); exit(1)', ValueError, r'^no videos$'),
    ('print("pretrain.py: error: argument --lr: x"); exit(2)', ValueError, 'argument --lr: x'),
    ('print("Training: 0 of 3"); print("error (rank 1): disk full"); exit(1)', RuntimeError,
     r'^disk full$'),
    ('exit(3)', ValueError, 'exit status 3: see above'),
    ('import os; print("Training: 0", flush=True); os.kill(os.getpid(), 9)', RuntimeError,
     'out of memory')])
def test_errors_are_exceptions_with_the_line(code, kind, message):
    with pytest.raises(kind, match=message):
        module._run([sys.executable, '-c', code])


def test_an_interrupt_ends_the_process_by_one_signal(capsys):
    """The child gets SIGTERM; the interrupt that its whole group gets does not reach it."""
    code = ('import os, signal, time; '
            'signal.signal(signal.SIGTERM, lambda *_: print("saved") or exit(143)); '
            'os.kill(os.getpid(), signal.SIGINT); os.kill(os.getppid(), signal.SIGINT); '
            'time.sleep(60)')
    with pytest.raises(KeyboardInterrupt):
        module._run([sys.executable, '-c', code])
    assert capsys.readouterr().out == (
        'saved\nThe same call continues with the next batch after the last checkpoint.\n')
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_arguments_become_options_and_nothing_else_changes(monkeypatch):
    commands = []
    monkeypatch.setattr(module, '_run', commands.append)
    monkeypatch.setattr(
        module, 'load_backbone', lambda out, device: torch.rand(1) and (out, device))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert vicmae_mm.pretrain('-videos', 'run', model='toy', epochs=2, batch_size=4,
                              cfg_options={'model.contrast_weight': .5}) == ('run', 'cpu')
    assert commands[0][2:] == [
        '--out=run', '--model=toy', '--epochs=2', '--devices=1', '--batch-size=4', '--seed=0',
        '--cfg-options', 'model.contrast_weight=0.5', '--', '-videos']
    assert before == (
        random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_the_import_draws_no_random_numbers():
    """rich.style does; nothing that is imported later may be the first to import it."""
    code = ('import random, sys; before = random.getstate(); import vicmae_mm; '
            'assert "rich.style" in sys.modules and random.getstate() == before')
    subprocess.run([sys.executable, '-c', code], check=True)
