"""Stopping a script as a user does, or from within."""
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver, get_context
from pathlib import Path


def interrupt(script: Path, args: list[str], cwd: Path, when: Callable[[], bool],
              how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Start a script, press Ctrl-C as soon as ``when()`` holds; exit status and output."""
    environment = os.environ | {'PYTHONPATH': str(script.parents[2])}
    process = subprocess.Popen(
        [sys.executable, str(script), *args], cwd=cwd, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        # tests in the background of a script ignore Ctrl-C, and what they start would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 900
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(.002)
    if process.poll() is None:
        os.killpg(process.pid, how)  # a terminal sends it to all processes
    output = process.communicate(timeout=900)[0]
    return process.returncode, output


def run_in_fork(call: Callable[[], int], output: Path) -> tuple[int, str]:
    """Call a tool in a fork of this process, where it may be killed; exit status and output."""
    forkserver.ensure_running()

    def run() -> None:
        # It is no child of this process, and runs.
        forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
        with open(output, 'w', buffering=1) as sys.stdout:
            sys.stderr = sys.stdout
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.exit(call())

    process = get_context('fork').Process(target=run)
    process.start()
    process.join()
    return process.exitcode, output.read_text()
