"""Probes while a run trains: their numbers, for whom, when, and without a trace in the training."""
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.runner import Runner
from PIL import Image

from tests.helpers.distributed import run_distributed
from tests.helpers.models import tiny_config
from tests.helpers.runs import PREPROCESSOR, RandomPairs, finish_saving
from tests.helpers.videos import make_video
from vicmae_mm.apis import load_backbone
from vicmae_mm.engine.hooks import ProbeHook, probe_hook
from vicmae_mm.evaluation.encode import encode
from vicmae_mm.evaluation.knn import partner_ranks
from vicmae_mm.evaluation.labelled_sources import open_labelled
from vicmae_mm.evaluation.protocol import TOP_1, Features, Splits, hold_out, knn_score
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError, UserError

DATASETS.register_module(name='ProbedPairs', module=RandomPairs, force=True)
SCORES = {'probe/knn_accuracy', 'probe/linear_accuracy', 'probe/recall_at_1', 'probe/median_rank'}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """``photos/{train,test}/<class>/...`` and ``videos``."""
    folder = tmp_path_factory.mktemp('data')
    random = np.random.default_rng(0)
    for split, count in (('train', 8), ('test', 5)):
        for label in range(3):
            for number in range(count):
                path = folder / f'photos/{split}/class {label}' / ('deep' if number % 2 else '.')
                path.mkdir(parents=True, exist_ok=True)
                pixels = random.integers(0, 160 + 40 * label, (36, 40, 3), np.uint8)
                Image.fromarray(pixels).save(path / f'{number}.png')
    (folder / 'videos').mkdir()
    for number in range(5):
        make_video(folder / f'videos/a {number}.mp4', 8)
    return folder


def runner_of(work_dir: Path, epochs: int = 4, probe: dict | None = None, save_best: Any = None,
              model: dict | None = None, **settings: Any) -> Runner:
    """A run of two steps an epoch that draws random numbers, as of a config."""
    checkpoint = dict(type='vicmae_mm.SafeCheckpointHook', interval=2, save_best=save_best)
    return Runner.from_cfg(Config(dict(
        dict(
            model=model or tiny_config(data_preprocessor=PREPROCESSOR),
            work_dir=str(work_dir), default_scope='mmpretrain', randomness=dict(seed=0),
            experiment_name=str(work_dir).replace('/', '_'),
            train_dataloader=dict(
                batch_size=4, num_workers=0, dataset=dict(type='vicmae_mm.ProbedPairs'),
                sampler=dict(type='vicmae_mm.EpochSampler'),
                collate_fn=dict(type='default_collate')),
            train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
            default_hooks=dict(checkpoint=checkpoint, logger=dict(type='LoggerHook', interval=1)),
            custom_hooks=[dict(type='vicmae_mm.ProbeHook', **probe)] if probe else [],
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])),
        **settings)))


def probes(work_dir: Path) -> list[dict]:
    """The records of all probes."""
    lines = [line for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if any('probe/' in key for key in record)]


def all_settings(data: Path) -> dict:
    return dict(images=str(data / 'photos'), pairs=str(data / 'videos'), interval=2, k=3)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, data) -> Path:
    """A finished run with probes; its work dir."""
    work_dir = tmp_path_factory.mktemp('trained')
    runner = runner_of(work_dir, probe=all_settings(data), save_best='probe/recall_at_1')
    runner.train()
    return work_dir


def test_probed_before_at_the_interval_and_at_the_end(trained):
    assert [record['step'] for record in probes(trained)] == [0, 4, 8]
    assert all(SCORES < record.keys() for record in probes(trained))
    assert (trained / 'curves.png').exists() is False  # no hook for it here


def test_the_report_has_no_score_from_before_training(trained):
    hub = torch.load(trained / 'epoch_4.pth', weights_only=False)['message_hub']
    logged = hub['log_scalars']['logged/probe/median_rank']._log_history
    # The last one only if it is the best, which is saved in the report once more.
    assert len(logged) in (1, 2)
    ranks = [record['probe/median_rank'] for record in probes(trained)]
    assert logged.tolist() == ranks[1:][:len(logged)]


def test_training_is_the_same_without(trained, tmp_path):
    runner = runner_of(tmp_path)
    runner.train()
    finish_saving(runner)
    with_, without = (torch.load(folder / 'epoch_4.pth', weights_only=False)
                      for folder in (trained, tmp_path))
    for key, value in without['state_dict'].items():
        assert value.equal(with_['state_dict'][key]), key
    for one, two in zip(without['optimizer']['state'].values(),
                        with_['optimizer']['state'].values(), strict=True):
        assert one['exp_avg_sq'].equal(two['exp_avg_sq'])


@pytest.mark.parametrize('epoch, record', [(2, 1), (4, 2)])
def test_accuracy_is_that_of_the_tool_on_the_checkpoint(trained, data, epoch, record):
    encoder = load_backbone(trained / f'epoch_{epoch}.pth')
    source = open_labelled('', data / 'photos', encoder.image_size)
    train, test = (Features(encode(encoder, part, 'cls'), part.targets)
                   for part in (source.train, source.test))
    score, _ = knn_score(Splits(*hold_out(train), test), TOP_1, source.num_classes, 3)
    assert probes(trained)[record]['probe/knn_accuracy'] == score


def test_best_checkpoint(trained):
    """Of the epochs after the first step, and kept by a resumed run."""
    scores = {record['step'] // 2: record['probe/recall_at_1'] for record in probes(trained)[1:]}
    best = max(scores, key=lambda epoch: (scores[epoch], -epoch))
    path, = trained.glob('best_*')
    assert path.name == f'best_probe_recall_at_1_epoch_{best}.pth'
    saved = torch.load(trained / 'epoch_4.pth', weights_only=False)
    info = saved['message_hub']['runtime_info']
    assert info['best_score'] == scores[best] and saved['meta']['epoch'] == 4


def test_a_run_resumed_within_an_epoch_probes_at_its_end(tmp_path, data):
    settings = all_settings(data) | dict(interval=1, pairs=None)
    runner = runner_of(tmp_path, 2, settings)
    runner.train()
    whole = probes(tmp_path)
    checkpoint = dict(type='vicmae_mm.SafeCheckpointHook', mid_epoch_interval=1, interval=-1)
    stopped = runner_of(tmp_path / 'stopped', 2, settings, default_hooks=dict(
        checkpoint=checkpoint), custom_hooks=[dict(type='vicmae_mm.ProbeHook', **settings)])

    def stop(hook, runner, *args, **kwargs):
        if runner.iter == 2:
            finish_saving(runner)
            raise KeyboardInterrupt
    stopped.register_hook(type('Stop', (probe_hook.Hook, ), dict(
        priority='LOWEST', after_train_iter=stop))())
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert (tmp_path / 'stopped/iter_3.pth').exists()
    again = runner_of(tmp_path / 'stopped', 2, settings, resume=True)
    again.train()
    assert [record['step'] for record in probes(tmp_path / 'stopped')] == [0, 2, 4]
    assert probes(tmp_path / 'stopped')[-1] == whole[-1]


def scores_of_rank(work_dir: str, data: str, batch: int) -> list[float]:
    probe_hook.BATCH_SIZE = 4
    runner = runner_of(Path(work_dir), 1, all_settings(Path(data)), train_dataloader=dict(
        batch_size=batch, num_workers=0, dataset=dict(type='vicmae_mm.ProbedPairs', length=6),
        sampler=dict(type='vicmae_mm.EpochSampler'), collate_fn=dict(type='default_collate')),
        launcher='pytorch', train_cfg=dict(by_epoch=True, max_epochs=1))
    measured: list[dict] = []
    runner.visualizer.add_scalars = lambda scores, **kwargs: measured.append(scores)
    hook = next(hook for hook in runner.hooks if isinstance(hook, ProbeHook))
    hook.after_train = lambda runner: None
    runner.train()
    return [float(measured[0][name]) for name in sorted(SCORES)] + [get_rank()]


def test_equal_for_any_number_of_processes(tmp_path, data):
    """Also where one has no batch of some images, and their numbers differ."""
    results = {world: run_distributed(scores_of_rank, world, str(tmp_path / str(world)), str(data),
                                      6 // world) for world in (2, 3)}
    alone = runner_of(tmp_path / 'alone', 1, all_settings(data))
    alone.train()
    expected = [probes(tmp_path / 'alone')[0][name] for name in sorted(SCORES)]
    for ranks in results.values():
        assert all(each[:4] == expected for each in ranks)


@pytest.mark.parametrize('changes, message', [
    (dict(images='/nowhere'), "no file or folder '/nowhere'"),
    (dict(images=''), "no file or folder ''"),
    (dict(pairs='{data}/photos'), 'No video found'),
    (dict(images='{data}/photos/train'), ''),
    (dict(max_images=2, images='{data}/photos'), '3 classes need a larger max_images'),
    (dict(images=dict(train='{data}/photos/train', test='{data}/photos')), 'test'),
])
def test_wrong_data_is_refused_before_the_first_step(tmp_path, data, changes, message):
    def fill(value):
        return ({key: fill(each) for key, each in value.items()} if isinstance(value, dict) else
                value.replace('{data}', str(data)) if isinstance(value, str) else value)

    runner = runner_of(tmp_path, 1, fill(changes))
    if message:
        with pytest.raises((UserError, OSError), match=message):
            runner.train()
        assert runner.iter == 0
    else:
        runner.train()


@pytest.mark.parametrize('settings', [
    dict(level='tokens'), dict(interval=0), dict(k=0), dict(max_images=0), dict(k=2.5)])
def test_wrong_settings(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        ProbeHook(**settings)


@pytest.mark.parametrize('key', ['probe/recall_at_1', 'knn_accuracy', 'auto'])
def test_best_by_a_score_that_is_not_measured(tmp_path, data, key):
    runner = runner_of(tmp_path, 1, all_settings(data) | dict(pairs=None), key)
    with pytest.raises(InputError, match=rf'{key}.* is not measured: .* need pairs'):
        runner.train()


def test_a_damaged_image_stops_before_the_first_step(tmp_path, data):
    path = tmp_path / 'list of photos.txt'
    (tmp_path / 'b c.png').write_bytes(b'\x89PNG no image')
    lines = [f'{file} {int("1" in file.parent.name)}'
             for file in sorted(data.glob('photos/test/class [01]/*.png'))]
    path.write_text('\n'.join([*lines, 'b c.png 1']) + '\n')
    runner = runner_of(tmp_path / 'run', 1, dict(images=str(path)))
    with pytest.raises(UserError, match=r'b c\.png cannot be read'):
        runner.train()
    assert runner.iter == 0


def test_weights_of_the_averages(tmp_path, data):
    """As the checkpoint has them, which tools read."""
    hooks = [dict(type='ProbeHook', _scope_='vicmae_mm', **all_settings(data)),
             dict(type='EMAHook', momentum=0.5)]
    runner = runner_of(tmp_path, 2, custom_hooks=hooks)
    runner.train()
    finish_saving(runner)
    hook = next(hook for hook in runner.hooks if isinstance(hook, ProbeHook))
    saved = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    for key, value in hook._encoder.backbone.state_dict().items():
        assert value.equal(saved['state_dict'][f'backbone.{key}'])
    assert not saved['state_dict']['backbone.cls_token'].equal(
        saved['ema_state_dict']['module.backbone.cls_token'])


def test_ranks_of_partners():
    first = torch.eye(4)
    assert partner_ranks(first, first).tolist() == [1] * 4
    assert partner_ranks(first, first.roll(1, 0)).tolist() == [4] * 4  # tied with two, after one
    assert partner_ranks(torch.ones(4, 3), torch.ones(4, 3)).tolist() == [4] * 4
    assert partner_ranks(torch.full((4, 3), torch.nan), first[:, :3]).tolist() == [4] * 4


@pytest.mark.parametrize('serialize', [True, False])
def test_pairs_that_are_trained_on_are_refused(tmp_path, data, monkeypatch, serialize):
    trained = dict(type='vicmae_mm.VideoPairDataset', data_prefix=dict(video=str(data / 'videos')),
                   pipeline=[], serialize_data=serialize)
    monkeypatch.chdir(data)
    (tmp_path / 'list.txt').write_text('videos/a 3.mp4\nvideos/a 4.mp4\n')
    pairs = dict(ann_file=str(tmp_path / 'list.txt'), data_prefix=dict(video='.'),
                 type='vicmae_mm.VideoPairDataset', allow_outside_root=True)
    runner = runner_of(tmp_path / 'run', 1, dict(pairs=pairs), train_dataloader=dict(
        batch_size=2, num_workers=0, sampler=dict(type='vicmae_mm.EpochSampler'),
        dataset=dict(type='RepeatDataset', times=2, dataset=trained)))
    with pytest.raises(InputError, match=r'a 3\.mp4 is one of the pairs, but also trained on'):
        runner.train()
    assert runner.iter == 0
