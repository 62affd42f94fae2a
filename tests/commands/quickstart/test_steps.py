"""Numbered steps and their times."""
import time

import pytest

from vicmae_mm.commands.quickstart.steps import Steps


def test_steps_are_numbered_and_timed(monkeypatch, capsys):
    now = [100.]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    steps = Steps(['render', 'train'])
    for seconds in (3, 62):
        with steps.step():
            now[0] += seconds
    assert steps.seconds == {'render': 3, 'train': 62}
    assert capsys.readouterr().err.splitlines() == [
        '[1/2] render', '      took 3 s', '[2/2] train', '      took 1 min 02 s']


def test_a_step_that_fails_is_not_said_to_be_done(capsys):
    with pytest.raises(RuntimeError), Steps(['render']).step():
        raise RuntimeError
    assert capsys.readouterr().err == '[1/1] render\n'
