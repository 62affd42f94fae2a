"""Stopping a script as a user does."""
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
    deadline = time.monotonic() + 60
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(.002)
    if process.poll() is None:
        os.killpg(process.pid, how)  # a terminal sends it to all processes
    output = process.communicate(timeout=60)[0]
    return process.returncode, output
