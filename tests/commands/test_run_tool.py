"""Errors that a config causes inside the libraries end in one line; bugs keep their traceback."""
import io
import logging
import multiprocessing
import os
import signal
import sys
from collections import OrderedDict

import pytest
import torch
from mmengine.logging import MMLogger, print_log
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, Registry
from torch import nn
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from vicmae_mm.commands.options import KeepText
from vicmae_mm.commands.run_tool import own_message, run_tool, user_message
from vicmae_mm.datasets import TooManyBadVideosError
from vicmae_mm.datasets.bad_videos.limit import BadVideos
from vicmae_mm.datasets.readers import VideoError, open_video
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction


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


class Failing(torch.utils.data.Dataset):
    """Raises in the worker: an error for the user, or one that looks like a bug."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        if self.kind == 'too many':
            bad = BadVideos('list.txt', 0.1)
            bad.add('a b.mp4', 'is empty')
            bad.check(2)
        if self.kind == 'video':
            open_video('none.mp4')
        if self.kind == 'file':
            open('none.txt')
        if self.kind == 'torch':
            torch.zeros(2).view(3)
        raise ValueError('in somebody else\'s code')


class Isolated(Failing):
    """The same in an isolated process, as our datasets run their pipeline."""

    def __getitem__(self, index: int) -> None:
        IsolatedFunction(super().__getitem__, 10)(index)


def from_worker(kind: str) -> Exception:
    with pytest.raises(Exception) as caught:
        next(iter(DataLoader(Failing(kind), num_workers=1)))
    return caught.value


def test_a_worker_that_dies_silently_is_reported(monkeypatch):

    def closed(*args):
        raise EOFError

    loader = iter(DataLoader(Failing('never')))
    monkeypatch.setattr(loader, '_next_data', closed)  # called within torch's own file
    with pytest.raises(EOFError) as caught:
        next(loader)
    message = user_message(caught.value)
    assert message.startswith('a data-loading worker died, most likely out of memory (EOFError): ')


def test_errors_from_workers():
    error = from_worker('too many')
    assert isinstance(error, TooManyBadVideosError)
    words = user_message(error)
    assert words.startswith('Too many bad videos: 1 of 2') and 'a b.mp4: is empty' in words
    assert words.endswith('raise max_bad_share of the dataset.') and 'Traceback' not in words
    with pytest.raises(VideoError) as direct:
        open_video('none.mp4')
    assert user_message(from_worker('video')) == str(direct.value)
    assert 'none.txt' in user_message(from_worker('file'))
    assert user_message(from_worker('torch')) is None
    other = from_worker('other')
    assert user_message(other) is None
    assert own_message(other) == "in somebody else's code"


@pytest.mark.parametrize('isolated, workers', [(False, 1), (True, 0), (True, 1)])
def test_errors_keep_their_message_through_all_processes(isolated, workers):
    dataset = Isolated('other') if isolated else Failing('other')
    with pytest.raises(ValueError, match='Traceback') as caught:
        next(iter(DataLoader(dataset, num_workers=workers)))
    assert own_message(caught.value) == "in somebody else's code"


@pytest.mark.parametrize('message', [
    'bad: InputError: thing', 'Misconfigured: InputError: nested\nsecond line', ''])
def test_a_message_that_names_its_own_type_is_not_cut(message):
    try:
        raise InputError(message)
    except InputError:
        wrapped = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(InputError) as caught:
        wrapped.reraise()
    assert own_message(caught.value) == message


def test_a_remote_traceback_of_another_type_is_not_cut():
    error = ValueError('Caught Odd in a worker.\nOriginal Traceback (...)\nf.<locals>.Odd: words')
    assert user_message(error) is None and own_message(error) == str(error)


@pytest.mark.parametrize('is_parent', [True, False])
def test_an_argument_refused_by_a_parent_class_is_an_error_in_the_config(is_parent):

    class Part:
        def __init__(self, width: int = 1) -> None:
            self.width = width

    class Whole(Part if is_parent else object):
        def __init__(self, **kwargs: int) -> None:
            Part.__init__(self, **kwargs) if is_parent else Part(**kwargs)

    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'") as caught:
        Registry('kind').build(dict(type=Whole, depth=2))
    assert (user_message(caught.value) is not None) == is_parent


@pytest.mark.parametrize('bug', [
    lambda: torch.zeros(2).view(3), lambda: {}['x'], lambda: int('x'), lambda: None.x,
    lambda: KeepText._parse_iterable(None)])
def test_bugs_keep_their_traceback(bug):
    with pytest.raises(Exception) as direct:
        bug()
    with pytest.raises(type(direct.value)):
        run_tool(bug)


def test_traceback_goes_to_the_log_file(tmp_path):
    MMLogger.get_instance('cli_test', log_file=str(tmp_path / 'run.log'))
    with pytest.raises(SystemExit):
        run_tool(lambda: open('none.txt'))
    assert 'Traceback (most recent call last)' in (tmp_path / 'run.log').read_text()


def test_rank_is_named(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('RANK', '1')
    with pytest.raises(SystemExit, match=r'^error \(rank 1\): none\.txt: No such file'):
        run_tool(lambda: open('none.txt'))


def test_ctrl_c_is_quiet():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run_tool(interrupted)
    assert caught.value.code == 130


def test_a_reader_that_has_ended_is_no_error():
    def tool() -> None:
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
        run_tool(lambda: os.write(1, b'x') and None)

    process = multiprocessing.get_context('fork').Process(target=tool)
    process.start()
    process.join()
    assert process.exitcode == 128 + signal.SIGPIPE

    def other_pipe() -> None:
        raise BrokenPipeError('of a worker')

    with pytest.raises(SystemExit, match=r'^error: of a worker$'):
        run_tool(other_pipe)
