"""Ctrl-C and SIGTERM: one line, a shell's exit status and no traceback, whatever they hit."""
import os
import signal
import subprocess
import sys

import pytest

from vicmae_mm.commands import stopping
from vicmae_mm.commands.stopping import is_stopped, stops_quietly


@pytest.fixture(autouse=True)
def own_signals(monkeypatch):
    """Python's own handlers, which a process in the background lacks; then pytest's again."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    before = [signal.signal(number, handler) for number, handler in zip(
        numbers, (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL), strict=True)]
    monkeypatch.setattr(stopping, '_received', [])
    monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook)
    for name in ('WORLD_SIZE', 'RANK'):
        monkeypatch.delenv(name, raising=False)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@stops_quietly()
def run(call, *args):
    call(*args)


def stop(call, *args) -> int:
    """Exit status of a tool that a signal ends."""
    with pytest.raises(SystemExit) as caught:
        run(call, *args)
    return caught.value.code


def handle(number: int) -> None:
    """As tools do that say themselves what remains to be done."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        sys.exit(130)


def fail(number: int) -> None:
    """As what other processes break off."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise RuntimeError('Connection closed by peer') from None


@pytest.mark.parametrize('call', [signal.raise_signal, handle, fail])
@pytest.mark.parametrize('number, name', [(signal.SIGINT, 'Ctrl-C'), (signal.SIGTERM, 'SIGTERM')])
def test_a_signal_is_one_line(call, number, name, capsys):
    assert stop(call, number) == 128 + number
    assert is_stopped()
    assert capsys.readouterr() == ('', f'Stopped by {name}.\n')


def test_a_later_run_is_not_stopped():
    stop(signal.raise_signal, signal.SIGINT)
    run(lambda: None)
    assert not is_stopped()


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='a bug'):
        run(lambda: (_ for _ in ()).throw(RuntimeError('a bug')))


def test_of_several_processes_the_first_one_prints(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('RANK', '1')
    assert stop(signal.raise_signal, signal.SIGTERM) == 143
    assert capsys.readouterr() == ('', '')
    signal.raise_signal(signal.SIGINT)  # torchrun's, after the terminal's


def test_what_a_script_starts_in_the_background_ignores_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run(signal.raise_signal, signal.SIGINT)
    assert not is_stopped()


def test_a_worker_ends_without_a_word(capfd):
    def fork() -> None:
        if not (pid := os.fork()):
            signal.raise_signal(signal.SIGINT)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130

    run(fork)
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('name', ['train.py', 'data/pack_frames.py', '_torchrun.py'])
def test_ctrl_c_while_importing(name, repo):
    """The first import of something slow sends the signal, so that no time has to be guessed."""
    code = ('import builtins, os, runpy, signal, sys\n'
            'stock = builtins.__import__\n'
            'def slow(name, *args, **kwargs):\n'
            '    if name.partition(".")[0] in ("torch", "vicmae_mm"):\n'
            '        os.kill(os.getpid(), signal.SIGINT)\n'
            '    return stock(name, *args, **kwargs)\n'
            'builtins.__import__ = slow\n'
            'runpy.run_path(sys.argv[1], run_name="__main__")\n')
    done = subprocess.run(
        [sys.executable, '-c', code, str(repo / 'tools' / name)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, '', 'Stopped by Ctrl-C.\n')


def test_every_tool_is_ready_for_that(repo):
    tools = [path for path in (repo / 'tools').rglob('*.py')]
    assert len(tools) > 15
    assert all("os.write(2, b'Stopped by Ctrl-C.\\n')" in path.read_text() for path in tools)
