"""Training state loads and resumes as data; nothing in a checkpoint is ever executed."""
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint

from tests.helpers.payloads import NAMES, STOCK_STATE, Pickled, attacks, safe_torch
from vicmae_mm.checkpoints import safety as checkpoint_safety
from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY, UnsafeCheckpointError

# --- What training writes, loads ----------------------------------------------------------

class Line(BaseModel):

    def __init__(self) -> None:
        super().__init__()
        self.fit = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4),
                                       torch.nn.Linear(4, 1))

    def forward(self, x, sample_idx=None, mode='tensor'):
        out = self.fit(torch.stack(list(x)).float())
        return dict(loss=(out - 1).square().mean()) if mode == 'loss' else [out.mean()]


class NumpyScore(BaseMetric):
    """Returns numpy scalars of several types, as metrics do."""

    def process(self, data_batch, data_samples):
        self.results.append(float(data_samples[0]))

    def compute_metrics(self, results):
        return dict(score=np.float64(np.mean(results)), hits=np.int64(3), share=np.float32(.5))


class Points(BaseDataset):
    METAINFO = dict(classes=('a', 'b'), weights=np.array([0.25, 0.75]))

    def load_data_list(self):
        rng = np.random.default_rng(0)
        return [dict(x=torch.from_numpy(rng.standard_normal(2))) for _ in range(8)]


def make_runner(work_dir: Path, epochs: int, **kwargs) -> Runner:
    torch.manual_seed(0)
    loader = dict(
        dataset=dict(type=Points), batch_size=4, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True))
    return Runner(
        Line(), str(work_dir), train_dataloader=loader, val_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs), val_cfg=dict(),
        val_evaluator=dict(type=NumpyScore),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, end=3, by_epoch=True),
                         dict(type='CosineAnnealingLR', T_max=6, end=6, by_epoch=True)],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, save_best='score',
                            rule='greater')),
        custom_hooks=[dict(type=EMAHook, momentum=0.1)],
        randomness=dict(seed=0), experiment_name=f'{work_dir.name}_{epochs}', **kwargs)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of two epochs with everything that a checkpoint can hold."""
    work_dir = tmp_path_factory.mktemp('trained')
    make_runner(work_dir, epochs=2).train()
    return work_dir


def test_resumed_run_ends_where_the_uninterrupted_one_does(trained, tmp_path):
    straight = make_runner(tmp_path, epochs=4)
    straight.train()
    resumed = make_runner(trained, epochs=4, resume=True)
    resumed.train()
    assert resumed.epoch == 4
    want, got = (torch.load(folder / 'epoch_4.pth', map_location='cpu')
                 for folder in (tmp_path, trained))
    for part in ('state_dict', 'ema_state_dict'):
        assert want[part].keys() == got[part].keys()
        assert all(torch.equal(want[part][k], got[part][k]) for k in want[part])
    assert want['param_schedulers'] == got['param_schedulers']
    for index, state in want['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.equal(value, got['optimizer']['state'][index][name])
    losses = [run.message_hub.get_scalar('train/loss').data[0] for run in (straight, resumed)]
    assert len(losses[0]) == 8  # the log too continues instead of starting again
    np.testing.assert_array_equal(*losses)
    best = [run.message_hub.get_info('best_score') for run in (straight, resumed)]
    assert best[0] == best[1]


@safe_torch
def test_checkpoint_of_training_is_plain_data(trained):
    checkpoint = torch.load(trained / 'epoch_2.pth', weights_only=True)
    assert isinstance(checkpoint['message_hub']['runtime_info']['best_score'], np.float64)
    assert checkpoint['message_hub']['log_scalars']['train/loss'].mean() > 0
    assert checkpoint['meta']['dataset_meta']['weights'].tolist() == [0.25, 0.75]
    assert 'getattr' not in globals_of(trained / 'epoch_2.pth')


def globals_of(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        name = next(n for n in file.namelist() if n.endswith('data.pkl'))
        return file.read(name).decode('latin1')


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes in the pickle of a checkpoint."""
    with zipfile.ZipFile(path) as file:
        contents = {info: file.read(info) for info in file.infolist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as file:
        for info, data in contents.items():
            if info.filename.endswith('data.pkl'):
                assert old in data
                data = data.replace(old, new)
            file.writestr(info.filename, data)


@safe_torch
@pytest.mark.parametrize('module', [b'numpy.core', b'numpy._core'])
def test_checkpoint_of_the_other_numpy_loads(module, tmp_path):
    torch.save(dict(a=np.arange(3.), b=np.float32(.5), c=np.bool_(True)), tmp_path / 'a.pth')
    ours = b'numpy._core' if 'numpy._core' in globals_of(tmp_path / 'a.pth') else b'numpy.core'
    rewrite(tmp_path / 'a.pth', ours + b'.multiarray', module + b'.multiarray')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded['a'].tolist() == [0, 1, 2] and loaded['b'] == .5 and loaded['c']


@safe_torch
def test_checkpoint_of_stock_mmengine_loads(tmp_path, monkeypatch):
    monkeypatch.setattr(HistoryBuffer, '__getstate__', lambda self: STOCK_STATE)
    torch.save(HistoryBuffer(), tmp_path / 'a.pth')
    assert 'getattr' in globals_of(tmp_path / 'a.pth')
    log = _load_checkpoint(str(tmp_path / 'a.pth'))
    assert (log.mean(), log.max_length) == (2, 10)
    log.update(5.)
    assert log.statistics('max') == 5


def test_a_loaded_history_has_the_default_statistics(tmp_path, monkeypatch):
    torch.save(HistoryBuffer([1., 3.], [1, 1]), tmp_path / 'a.pth')
    # as in a process that has made no buffer yet
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', {})
    log = _load_checkpoint(str(tmp_path / 'a.pth'))
    assert [log.statistics(name) for name in ('min', 'max', 'mean', 'current')] == [1, 3, 2, 3]


def test_checkpoint_cannot_replace_methods(tmp_path):
    state = dict(STOCK_STATE, mean=HistoryBuffer.max, statistics_methods=dict(
        mean=HistoryBuffer.max, extra=HistoryBuffer.max))
    torch.save(Pickled(HistoryBuffer, state=state), tmp_path / 'a.pth')
    log = _load_checkpoint(str(tmp_path / 'a.pth'))
    assert log.statistics('mean') == log.mean() == 2
    assert 'extra' not in HistoryBuffer._statistics_methods


# --- What is code, does not ---------------------------------------------------------------

FORMATS = dict(
    zip=torch.save,
    legacy=lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    pickle=lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2)))


@safe_torch
@pytest.mark.parametrize('file_format', FORMATS)
@pytest.mark.parametrize('name', NAMES)
def test_attack_is_refused(name, file_format, tmp_path, monkeypatch):
    # The widespread advice against mmengine's errors must not open the door again.
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    FORMATS[file_format](dict(state_dict={}, meta=dict(x=attacks(str(marker))[name])), path)
    with pytest.raises(UnsafeCheckpointError, match='Nothing in it was executed'):
        load_checkpoint(Line(), str(path), map_location='cpu')
    assert not marker.exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


@safe_torch
@pytest.mark.parametrize('name, words', [
    ('os_system', 'posix.system'), ('eval', 'references eval,'),
    ('object_array', 'numpy.dtypes.ObjectDType'),
    ('getattr_register', "getattr('register_statistics') of <class 'mmengine."),
])
def test_refusal_says_what_to_do(name, words, tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(attacks(str(tmp_path / 'marker'))[name], path)
    with pytest.raises(UnsafeCheckpointError) as caught:
        _load_checkpoint(str(path))
    message = str(caught.value)
    assert message.startswith(f'Refused to load {path}: it references ') and words in message
    assert 'Nothing in it was executed' in message and 'add_safe_globals' in message
    assert 'weights_only' not in message and '\n' not in message


@safe_torch
@pytest.mark.parametrize('content', [
    b'not a checkpoint', b'\x80\x02}q\x00(X', b'', b'<html>', b'\0' * 100,
    pickle.dumps({1: 2}, protocol=5)])
def test_damaged_file_is_named(content, tmp_path):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'broken\.pth is not a checkpoint, or is damaged'):
        _load_checkpoint(str(path))


@safe_torch
@pytest.mark.parametrize('share', [0.001, 0.5, 0.999])
def test_truncated_checkpoint_is_named(share, trained, tmp_path):
    content = (trained / 'epoch_2.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(content[:int(len(content) * share)])
    with pytest.raises(ValueError, match=r'cut\.pth is not a checkpoint, or is damaged'):
        _load_checkpoint(str(tmp_path / 'cut.pth'))


def test_missing_file_stays_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        _load_checkpoint(str(tmp_path / 'none.pth'))


def test_own_class_can_be_allowed(tmp_path, monkeypatch):
    if not CAN_LOAD_SAFELY:
        pytest.skip('everything is allowed there')
    torch.save(OwnClass(), tmp_path / 'own.pth')
    with pytest.raises(UnsafeCheckpointError, match='OwnClass'):
        _load_checkpoint(str(tmp_path / 'own.pth'))
    with torch.serialization.safe_globals([OwnClass]):
        assert isinstance(_load_checkpoint(str(tmp_path / 'own.pth')), OwnClass)


class OwnClass:
    pass


# --- Config text --------------------------------------------------------------------------

@pytest.mark.parametrize('key', ['config', 'cfg'])
def test_resume_does_not_run_config_text(key, trained, tmp_path):
    checkpoint = torch.load(trained / 'epoch_2.pth', map_location='cpu')
    evil = f'x = __import__("os").mkdir({str(tmp_path / "marker")!r})\n'
    checkpoint['meta'][key] = evil
    checkpoint['message_hub']['runtime_info']['cfg'] = evil
    checkpoint['message_hub']['resumed_keys']['cfg'] = True
    torch.save(checkpoint, tmp_path / 'evil.pth')
    runner = make_runner(tmp_path, 3, load_from=str(tmp_path / 'evil.pth'), resume=True)
    runner.train()
    assert runner.epoch == 3
    assert not (tmp_path / 'marker').exists()
    # The config in use stays that of this run, in memory and in the next checkpoint.
    assert runner.message_hub.get_info('cfg') != evil
    assert evil not in str(torch.load(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info'])


@pytest.mark.parametrize('checkpoint', [
    {}, dict(meta=None), dict(message_hub=[1]), dict(message_hub=dict(runtime_info=3)),
    torch.zeros(1)])
def test_odd_checkpoints_pass_through(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / 'odd.pth')
    assert str(_load_checkpoint(str(tmp_path / 'odd.pth'))) == str(checkpoint)


def test_old_torch_is_warned_about(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_safety, 'CAN_LOAD_SAFELY', False)
    torch.save({}, tmp_path / 'a.pth')
    with pytest.warns(UserWarning, match=r'runs any code .* torch 2\.6 or newer'):
        _load_checkpoint(str(tmp_path / 'a.pth'))
