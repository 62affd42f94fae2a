"""Code in a checkpoint is not executed, whatever loads the file (promise 5)."""
import runpy
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.conftest import REPO
from tests.helpers.models import tiny_config
from tests.helpers.payloads import OBJECTS, TEXTS, poison, safe_torch
from tests.helpers.runs import FixedPairs, finish_saving, save_run, tiny_runner
from tests.helpers.tiny_configs import write_recognizer
from tests.helpers.transfer_datasets import make_class_folders
from tests.helpers.videos import make_video
from vicmae_mm.checkpoints import safety as checkpoint_safety
from vicmae_mm.checkpoints.safety import UnsafeCheckpointError
from vicmae_mm.registry import MODELS


@pytest.fixture(scope='module')
def ground(tmp_path_factory) -> Path:
    """Genuine checkpoints, and the other inputs of the tools."""
    folder = tmp_path_factory.mktemp('ground')
    save_run(folder / 'run')
    runner = tiny_runner(folder / 'trained', [], epochs=1, dataset=FixedPairs(), default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', interval=1), logger=None))
    runner.train()
    make_video(folder / 'clip.mp4')
    make_class_folders(folder / 'classes')
    (folder / 'videos').mkdir()
    config = Config.fromfile(write_recognizer(folder / 'videos'))
    with DefaultScope.overwrite_default_scope('mmaction'):
        torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), folder / 'video.pth')
    return folder


def run_tool(name: str, *args: object) -> None:
    """Run a tool in this process."""
    sys.argv = [str(REPO / 'tools' / name), *map(str, args)]
    runpy.run_path(sys.argv[0], run_name='__main__')


def resume(path: Path, ground: Path, work_dir: Path) -> None:
    runner = tiny_runner(
        work_dir, [], epochs=2, dataset=FixedPairs(), load_from=str(path), resume=True)
    runner.train()
    assert runner.iter == 4


def load_from(path: Path, ground: Path, work_dir: Path) -> None:
    tiny_runner(work_dir, [], epochs=1, dataset=FixedPairs(), load_from=str(path)).train()


def init_cfg(path: Path, ground: Path, work_dir: Path) -> None:
    model = MODELS.build(dict(
        tiny_config()['backbone'], init_cfg=dict(
            type='Pretrained', checkpoint=str(path), prefix='backbone.')))
    model.init_weights()


def auto_resume(path: Path, ground: Path, work_dir: Path) -> None:
    hooks = dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1), logger=None)
    shutil.copy(path, work_dir / 'epoch_1.pth')
    tiny_runner(work_dir, [], epochs=2, dataset=FixedPairs(), default_hooks=hooks,
                resume=True).train()


def evaluate(path: Path, ground: Path, work_dir: Path) -> None:
    run_tool('test.py', ground / 'videos/recognizer.py', path, '--work-dir', work_dir)


def convert(path: Path, ground: Path, work_dir: Path) -> None:
    run_tool('convert_checkpoint.py', path, work_dir / 'out.pth', '--to', 'mae', '--drop',
             'projector.')


def features(path: Path, ground: Path, work_dir: Path) -> None:
    run_tool('extract_features.py', path, ground / 'clip.mp4', '--config',
             ground / 'run/tiny.py', '--out', work_dir / 'out.npz', '--frames', 2)


def reconstruction(path: Path, ground: Path, work_dir: Path) -> None:
    run_tool('visualize_reconstruction.py', path, ground / 'clip.mp4', '--config',
             ground / 'run/tiny.py', '--out', work_dir / 'out.png')


def knn(path: Path, ground: Path, work_dir: Path) -> None:
    transfer('knn.py', path, ground, work_dir, '--k', 3)


def linear(path: Path, ground: Path, work_dir: Path) -> None:
    transfer('linear_transfer.py', path, ground, work_dir)


def transfer(tool: str, path: Path, ground: Path, work_dir: Path, *args: object) -> None:
    shutil.copy(ground / 'run/tiny.py', path.parent)
    run_tool(tool, path, '--folder', f'mine={ground}/classes', '--out', work_dir / 'out',
             '--workers', 0, *args)


ENTRIES: dict[Callable, str] = {
    resume: 'trained/epoch_1.pth', auto_resume: 'trained/epoch_1.pth',
    load_from: 'trained/epoch_1.pth', init_cfg: 'trained/epoch_1.pth',
    evaluate: 'video.pth', convert: 'run/epoch_1.pth', features: 'run/epoch_1.pth',
    reconstruction: 'run/epoch_1.pth', knn: 'run/epoch_1.pth', linear: 'run/epoch_1.pth'}


def poisoned(folder: Path, genuine: Path, payload: str) -> Path:
    """A copy of a checkpoint with a payload, in a folder of its own."""
    (folder / 'evil').mkdir()
    content = poison(torch.load(genuine), payload, str(folder / 'marker'))
    torch.save(content, folder / 'evil/epoch_1.pth')
    return folder / 'evil/epoch_1.pth'


@pytest.fixture
def work_dir(tmp_path, monkeypatch) -> Path:
    """Folder that an entry point writes to."""
    monkeypatch.setattr(sys, 'argv', sys.argv)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    (tmp_path / 'work').mkdir()
    return tmp_path / 'work'


@safe_torch
@pytest.mark.parametrize('payload', OBJECTS)
@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry.__name__)
def test_object_is_refused(entry, payload, ground, work_dir, tmp_path):
    path = poisoned(tmp_path, ground / ENTRIES[entry], payload)
    with pytest.raises((SystemExit, UnsafeCheckpointError)) as caught:
        entry(path, ground, work_dir)
    named = work_dir / 'epoch_1.pth' if entry is auto_resume else path
    message = str(caught.value).removeprefix('error: ')
    assert message.startswith(f'Refused to load {named}: it references ')
    assert 'Nothing in it was executed' in message and f'--trust-checkpoint {named};' in message
    assert '\n' not in message
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('payload', TEXTS)
@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry.__name__)
def test_text_is_harmless(entry, payload, ground, work_dir, tmp_path):
    path = poisoned(tmp_path, ground / ENTRIES[entry], payload)
    entry(path, ground, work_dir)
    assert not (tmp_path / 'marker').exists()


# --- The tests above can fail ---------------------------------------------------------------

@pytest.mark.parametrize('payload', OBJECTS)
def test_object_is_executed_when_unpickled(payload, ground, tmp_path):
    path = poisoned(tmp_path, ground / 'run/epoch_1.pth', payload)
    with suppress(RuntimeError):  # storage_bytes is not a complete storage
        torch.load(path, weights_only=False)
    assert (tmp_path / 'marker').exists()


@pytest.mark.parametrize('payload', TEXTS)
def test_text_is_executed_by_the_stock_runner(payload, ground, work_dir, tmp_path, monkeypatch):
    """``meta['config']`` at least, which stock reads when it resumes."""
    monkeypatch.setattr(checkpoint_safety, '_drop_config_text', lambda checkpoint: None)
    path = poisoned(tmp_path, ground / 'trained/epoch_1.pth', payload)
    resume(path, ground, work_dir)
    assert (tmp_path / 'marker').exists() == (payload == 'meta_config')


# --- A file that the user trusts ------------------------------------------------------------

@safe_torch
def test_trusted_file_is_read_and_no_other(ground, work_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_safety, '_trusted', set())
    path = poisoned(tmp_path, ground / 'run/epoch_1.pth', 'set_state')
    other = shutil.copy(path, tmp_path / 'other.pth')
    run_tool('convert_checkpoint.py', path, work_dir / 'out.pth', '--to', 'mae', '--drop',
             'projector.', '--trust-checkpoint', path)
    (tmp_path / 'marker').rmdir()
    with pytest.raises(SystemExit, match=r'Refused to load \S*other\.pth'):
        convert(other, ground, work_dir / 'b')
    assert not (tmp_path / 'marker').exists()


def test_config_text_of_a_trusted_file_is_not_executed(ground, work_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_safety, '_trusted', set())
    path = poisoned(tmp_path, ground / 'trained/epoch_1.pth', 'meta_config')
    checkpoint_safety.trust(str(path))
    resume(path, ground, work_dir)
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('tool, args', [
    ('train.py', ['a.py']), ('test.py', ['a.py', 'a.pth']), ('convert_checkpoint.py', 'ab'),
    ('extract_features.py', ['a', 'b', '--out', 'c']), ('visualize_reconstruction.py', 'ab'),
    ('knn.py', 'a'), ('linear_transfer.py', 'a')])
def test_every_tool_has_the_flag(tool, args, work_dir, capsys):
    with pytest.raises(SystemExit):
        run_tool(tool, *args, '--trust-checkpoint', 'none.pth')
    assert '--trust-checkpoint: There is no checkpoint none.pth.' in capsys.readouterr().err


def test_a_url_cannot_be_trusted(monkeypatch):
    monkeypatch.setattr(checkpoint_safety, '_trusted', set())
    with pytest.raises(ValueError, match='is a URL: download it, and pass the local file'):
        checkpoint_safety.trust('https://example.invalid/a.pth')
    assert not checkpoint_safety._trusted


# --- Removing ------------------------------------------------------------------------------

def test_checkpoint_cannot_name_files_for_removal(ground, work_dir, tmp_path):
    """Stock removes the file that the checkpoint names as the best, and files by number."""
    mine = [tmp_path / 'mine.pth', tmp_path / 'best_mine.pth']
    for path in mine:
        path.write_text('precious')
    content = torch.load(ground / 'trained/epoch_1.pth')
    content['message_hub']['runtime_info'].update(
        best_ckpt=str(mine[1]), best_score=-1., keep_ckpt_ids=['/../../mine', 0, 1],
        mid_epoch_ids=['/../../mine'])
    content['message_hub']['resumed_keys'].update(
        dict.fromkeys(('best_ckpt', 'best_score', 'keep_ckpt_ids', 'mid_epoch_ids'), True))
    (work_dir / 'epoch_').mkdir()  # makes epoch_/../../mine.pth a path
    (work_dir / 'iter_').mkdir()
    torch.save(content, work_dir / 'epoch_1.pth')
    hook = dict(type='vicmae_mm.SafeCheckpointHook', interval=1, max_keep_ckpts=1,
                save_best='score', rule='greater')
    runner = tiny_runner(work_dir, [], epochs=2, dataset=FixedPairs(), resume=True,
                         default_hooks=dict(checkpoint=hook, logger=None))
    runner.train()
    runner.call_hook('after_val_epoch', metrics=dict(score=1.))
    finish_saving(runner)
    assert all(path.read_text() == 'precious' for path in mine)
    assert (work_dir / 'best_score_epoch_2.pth').exists()
