"""The notebooks run, an interrupt stops their pre-training, and what they show is fit to show."""
import re
from pathlib import Path

import nbformat
import pytest

from tests.helpers.notebooks import NOTEBOOKS, code_cells, execute, started_kernel

TINY = '''
CLIPS, IMAGES = 64, 60
if 'SETTINGS' in globals():
    SETTINGS['epochs'] = 12
    SETTINGS['cfg_options']['default_hooks.checkpoint.interval'] = 1
'''
# What a library should leave as it is in the notebook of others
STATE = '''
import logging, random, signal
import matplotlib, numpy, torch
from mmengine.registry import DefaultScope
def state():
    return [matplotlib.get_backend(), random.getstate(), str(numpy.random.get_state()[1]),
            torch.get_rng_state().tolist(), torch.get_num_threads(), torch.is_grad_enabled(),
            DefaultScope.get_current_instance(), [*logging.root.handlers],
            signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
before = state()
'''
CHANGED = '''
import multiprocessing
assert not multiprocessing.active_children()
assert [one for one, other in zip(before, state()) if one != other] == []
'''


def shown(notebook) -> list[list[str]]:
    """What each cell shows; lines and bars of progress count as one."""
    return [sorted({'picture' if any(kind.startswith('image/') for kind in output.get('data', ()))
                    else 'text' for output in cell.outputs}) for cell in code_cells(notebook)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('notebooks')


@pytest.fixture(scope='module')
def kernel(folder):
    """One kernel for all: its start and imports take most of the time."""
    with started_kernel(folder) as kernel:
        yield kernel


@pytest.fixture(scope='module')
def client(kernel):
    client = kernel.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield client
    client.stop_channels()


def run(client, code: str, on_text=lambda text: None) -> tuple[str, str]:
    """Run code in the kernel: the name of its error, if any, and what it has shown as text."""
    texts = []

    def hear(message: dict) -> None:
        content = message['content']
        texts.append(content.get('text') or content.get('data', {}).get('text/plain', ''))
        on_text(texts[-1])

    reply = client.execute_interactive(code, timeout=300, output_hook=hear)
    return reply['content'].get('ename', ''), ''.join(texts)


def test_an_interrupt_stops_pretraining_and_the_notebook_continues_it(kernel, client, folder):
    """Up to its cell of pre-training; the notebook itself runs the same call to its end."""
    cells = [cell.source for cell in code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))]
    last = next(number for number, source in enumerate(cells) if 'pretrain(' in source)
    start = [cells[0], TINY, *cells[1:last], STATE]
    assert run(client, '\n'.join(start))[0] == ''
    seen = []

    def interrupt(text: str) -> None:
        is_bar = re.match(r'Training\W+\d+/', text)
        # Checkpoints are written while training goes on.
        if is_bar and any(folder.rglob('epoch_*.pth')) and not seen:
            seen.append(text)
            kernel.interrupt_kernel()

    error, text = run(client, cells[last], interrupt)
    assert seen and error == 'KeyboardInterrupt'
    assert 'The same call continues' in text and '\x1b' not in text and 'Traceback' not in text
    assert run(client, CHANGED)[0] == ''
    assert run(client, '%reset -f')[0] == ''
    notebook = execute(NOTEBOOKS[0], kernel, TINY)
    printed = ''.join(output.get('text', '') for output in code_cells(notebook)[last].outputs)
    done = re.findall(r'([\d,]+) of 12 epochs, (\d+) of 24 steps', printed)
    assert 0 < int(done[0][1]) < 24 and done[-1] == ('12', '24')
    assert_as_committed(notebook, NOTEBOOKS[0])


def test_what_the_network_has_learned(kernel, client):
    """On the run of the other notebook."""
    assert run(client, STATE)[0] == ''
    assert_as_committed(execute(NOTEBOOKS[1], kernel, TINY), NOTEBOOKS[1])


def assert_as_committed(notebook, path: Path) -> None:
    """The outputs in the repository are of these cells."""
    assert shown(notebook) == shown(nbformat.read(path, as_version=4))
    assert sum('picture' in each for each in shown(notebook)) >= 6


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_small_and_clean(path):
    text = path.read_text(encoding='utf-8')
    cells = code_cells(nbformat.reads(text, as_version=4))
    assert len(text) < 400_000
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and not [each for each in outputs if each.output_type == 'error'
                            or each.get('name') == 'stderr']
    words = ''.join(str(each.get('text') or each.data.get('text/plain', '')) for each in outputs)
    assert not re.findall(r'(?<![\w.])/(?:tmp|home|root|Users|work|usr|data)/\S+|\x1b', words)
