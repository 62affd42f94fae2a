"""Logged scalars are those of the global batch, whatever the number of processes."""
import json
import math
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel

from tests.conftest import REPO
from tests.helpers.distributed import run_distributed
from tests.helpers.models import tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_runner
from vicmae_mm.engine import global_log_processor
from vicmae_mm.visualization.curves import find_scalars, read_train_scalars

PAIRS, STEPS, INTERVAL = 16, 4, 2
PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', in_channels=64, hid_channels=16, out_channels=64,
    with_avg_pool=False, norm_cfg=dict(type='vicmae_mm.SyncBN1d'))
HEADS = dict(  # gathers normalised embeddings; embeddings; predictions; nothing
    info_nce=dict(type='vicmae_mm.InfoNCEHead'),
    vicreg=dict(type='vicmae_mm.VICRegHead'),
    vicreg_predictor=dict(type='vicmae_mm.VICRegHead', predictor=PREDICTOR),
    simsiam=dict(type='vicmae_mm.SimSiamHead', predictor=PREDICTOR))
OURS = ('loss', 'loss_recon', 'loss_contrast', 'recon', 'contrast', 'embedding_std',
        'embedding_rank', 'pair_accuracy', 'contrast_weight', 'grad_norm')


def train(folder: str) -> dict[str, dict]:
    """Train with each head; the logged scalars, and what the main process had of its own."""
    world, results = get_world_size(), {}
    for name, head in HEADS.items():
        work_dir = Path(folder) / f'{name}_{world}'
        torch.manual_seed(0)
        model = tiny_vicmae(contrast_head=dict(_delete_=True, **head), contrast_weight=1.,
                            data_preprocessor=PREPROCESSOR)
        runner = tiny_runner(
            work_dir, [dict(type='vicmae_mm.StepSeedHook'), dict(type='vicmae_mm.CollapseHook')],
            epochs=1, model=MMDistributedDataParallel(model) if world > 1 else model,
            train_dataloader=dict(
                batch_size=PAIRS // world, num_workers=0, dataset=FixedPairs(PAIRS * STEPS),
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate')),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-2), clip_grad=dict(max_norm=9.)),
            default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=INTERVAL)),
            log_processor=Config.fromfile(REPO / 'configs/_base_/default_runtime.py').log_processor,
            randomness=dict(seed=0, diff_rank_seed=False))
        with patch.object(global_log_processor, 'all_reduce',
                          wraps=global_log_processor.all_reduce) as reduce:
            runner.train()
        own = runner.message_hub.get_scalar('train/contrast').mean(20)
        texts = [path.read_text() for path in work_dir.glob('*/vis_data/scalars.json')]
        results[name] = dict(
            logged=[json.loads(line) for line in ''.join(texts).splitlines()], own=float(own),
            reductions=reduce.call_count,
            kept={key: runner.message_hub.get_scalar(f'logged/{key}')._log_history.tolist()
                  for key in ('recon', 'contrast', 'pair_accuracy', 'loss')},
            watching=any(getattr(hook, '_watching', False) for hook in runner.hooks))
    return results


@pytest.fixture(scope='module')
def runs(tmp_path_factory) -> dict[int, list[dict]]:
    folder = str(tmp_path_factory.mktemp('runs'))
    return {1: [train(folder)], 4: run_distributed(train, 4, folder)}


@pytest.mark.parametrize('head', HEADS)
def test_scalars_do_not_depend_on_the_number_of_processes(runs, head):
    logged, wanted = runs[4][0][head]['logged'], runs[1][0][head]['logged']
    assert len(logged) == len(wanted) == STEPS // INTERVAL
    for got, want in zip(logged, wanted, strict=True):
        for name in OURS:
            assert got[name] == pytest.approx(want[name], rel=2e-5), name


def test_the_share_of_the_main_process_is_another(runs):
    run = runs[4][0]['info_nce']
    assert abs(run['own'] / run['logged'][-1]['contrast'] - 1) > 1e-3


def test_what_is_kept_for_the_report_is_of_all_processes(runs):
    for results in runs.values():
        logged = results[0]['info_nce']['logged']
        for key, values in results[0]['info_nce']['kept'].items():
            assert values == [record[key] for record in logged]
            assert all(result['info_nce']['kept'][key] == values for result in results)


def test_speed_is_that_of_all_processes(runs):
    for results in runs.values():
        for record in results[0]['info_nce']['logged']:
            assert record['pairs_per_second'] == pytest.approx(PAIRS / record['time'])


def test_one_reduction_per_logged_line(runs):
    for results in runs.values():
        for result in results:
            assert result['info_nce']['reductions'] == STEPS // INTERVAL


def test_the_main_process_watches_for_collapse_by_the_global_batch(runs):
    """4 pairs per process are 16 in all."""
    assert [result['info_nce']['watching'] for result in runs[4]] == [True, False, False, False]


@pytest.mark.parametrize('with_prefix', [False, True])
def test_a_scalar_without_a_new_value_is_left_out(with_prefix):
    means = [dict(data_src='contrast', log_name=name, method_name='mean', window_size=9)
             for name in ('contrast', 'average')]
    processor = global_log_processor.GlobalLogProcessor(custom_cfg=means)
    runner = SimpleNamespace(message_hub=MessageHub(f'stale_{with_prefix}'))

    def line(**values: float) -> set[str]:
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/{name}', value)
        tag = processor._collect_scalars(means, runner, 'train')
        if with_prefix:  # what log_with_hierarchy logs
            tag = processor._collect_scalars(means, runner, 'train', True)
        return {name.removeprefix('train/') for name in tag}

    assert line(loss=1., contrast=2.) == {'loss', 'contrast', 'average'}
    assert line(loss=1.) == {'loss'}
    assert line(loss=1., grad_norm=1.) == {'loss', 'grad_norm'}  # of accumulated steps
    assert line(loss=1., contrast=2.) == {'loss', 'contrast', 'average'}
    processor._collect_scalars([], runner, 'val')
    assert line(loss=1.) == {'loss'}


def test_nothing_from_before_the_resumption_is_logged_as_new(tmp_path):
    hooks = dict(logger=dict(type='LoggerHook', interval=1),
                 checkpoint=dict(type='vicmae_mm.SafeCheckpointHook'),
                 checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook'))
    sgd = dict(optimizer=dict(type='SGD', lr=1e-2))
    settings = dict(log_processor=dict(type='vicmae_mm.GlobalLogProcessor'), default_hooks=hooks)
    tiny_runner(tmp_path, [], epochs=1, **settings, optim_wrapper=dict(
        sgd, clip_grad=dict(max_norm=9.))).train()
    tiny_runner(tmp_path, [], resume='auto', optim_wrapper=sgd, **settings).train()
    records = read_train_scalars(find_scalars(tmp_path))
    assert ['grad_norm' in record for record in records] == [True, True, False, False]
    assert all('pair_accuracy' in record for record in records)


def test_records_say_what_chance_gives(runs):
    for world, results in runs.items():
        for name, run in results[0].items():
            for record in run['logged']:
                assert record['epoch_length'] == STEPS
                assert record['pair_accuracy_chance'] == 1 / PAIRS
                assert record.get('contrast_chance') == (
                    pytest.approx(math.log(2 * PAIRS - 1)) if name == 'info_nce' else None), world
