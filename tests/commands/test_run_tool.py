"""Errors that a config causes inside the libraries end in one line; bugs keep their traceback."""
import io
import logging
import sys
from collections import OrderedDict

import pytest
import torch
from mmengine.logging import MMLogger, print_log
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from torch import nn

from vicmae_mm.commands.run_tool import run_tool, user_message


class Refusing(nn.Module):
    """A component that refuses an argument, itself or in what it calls."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind == 'call':
            raise_value_error()
        raise AssertionError('' if kind == 'silent' else 'kind is wrong')


def raise_value_error() -> None:
    raise ValueError('a bug')


def build(kind: str) -> None:
    """Build a component with an argument that it refuses."""
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    model = nn.Linear(1, 1)
    if kind == 'amp':
        build_optim_wrapper(model, dict(wrapper, type='AmpOptimWrapper'))
    elif kind == 'rate':
        build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=-1)))
    elif kind == 'schedule':
        PARAM_SCHEDULERS.build(
            dict(type='LinearLR', start_factor=2, convert_to_iter_based=True),
            default_args=dict(optimizer=build_optim_wrapper(model, wrapper), epoch_length=2))
    else:
        MODELS.build(dict(type=Refusing, kind=kind))


@pytest.mark.parametrize('kind, words', [
    pytest.param('amp', 'AmpOptimWrapper: ``AmpOptimizerWrapper`` is only available', marks=(
        pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU is there'))),
    ('rate', 'AdamW: Invalid learning rate: -1'),
    ('schedule', 'LinearLR: Starting multiplicative factor should'),
    ('other', 'Refusing: kind is wrong'), ('silent', None), ('call', None)])
def test_what_a_component_refuses_is_one_line(kind, words):
    with pytest.raises(Exception) as caught:
        build(kind)
    message = user_message(caught.value)
    assert message is None if words is None else message.startswith(words)


def test_names_that_are_not_utf_8_are_printed(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'argv', ['tool'])
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, 'utf-8', write_through=True))
    run_tool(lambda: print('caf\udce9'))
    assert written.getvalue() == b'caf\\udce9\n'


def test_lines_of_a_tool_without_a_run_have_no_date(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['tool'])
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    run_tool(lambda: [print_log('3 videos', 'current'),
                      print_log('bad', 'current', logging.WARNING)] and None)
    assert capsys.readouterr().out == '3 videos\nwarning: bad\n'
