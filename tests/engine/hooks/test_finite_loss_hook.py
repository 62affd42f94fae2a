"""Messages of FiniteLossHook for batches of any kind; its runs are in tests/recovery."""
import copy

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmpretrain.structures import DataSample

from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.engine.hooks import FiniteLossHook, NonFiniteLossError


def sample(kind: type, **metainfo: object) -> object:
    return kind(metainfo=metainfo)


@pytest.mark.parametrize('samples, text', [
    ([sample(DataSample, img_path='a b.jpg', sample_idx=3)] * 2, ', with samples a b.jpg, a b.jpg'),
    ([sample(ActionDataSample, filename='c.mp4', img_shape=(1, 2))], ', with samples c.mp4'),
    ([sample(DataSample, sample_idx=i) for i in range(6)], ', with samples 0, 1, 2, 3 and 2 more'),
    ([sample(DataSample)], ''), (torch.arange(5), ''), (None, '')])
def test_samples_are_named_by_what_they_carry(samples, text, tmp_path):
    hook = FiniteLossHook()
    runner = tiny_runner(tmp_path, [], dataset=FixedPairs())
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, dict(data_samples=samples))
    with pytest.raises(NonFiniteLossError, match=f'rank 0: loss_a is -inf{text}. No step'):
        hook._keep_losses(dict(
            loss_a=[torch.tensor(1.), torch.tensor(-torch.inf)], loss_b=torch.tensor(2.),
            a=torch.tensor(-torch.inf)))
        hook._update_if_finite(runner, torch.tensor(-torch.inf))


def test_a_model_in_training_can_be_copied(tmp_path):
    runner = tiny_runner(tmp_path, [], dataset=FixedPairs())
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    FiniteLossHook().before_train(runner)
    copy.deepcopy(runner.model)


class Stop(Hook):
    """Ctrl-C in the first iteration."""

    iters = 0

    def after_train_iter(self, *args: object, **kwargs: object) -> None:
        """Stop."""
        self.iters += 1
        if self.iters == 1:
            raise KeyboardInterrupt


def test_training_again_after_it_was_stopped(tmp_path):
    runner = tiny_runner(tmp_path, [FiniteLossHook(), Stop()], dataset=FixedPairs(), epochs=2)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    runner.train()
    assert runner.iter == runner.max_iters
    assert not runner.model._forward_hooks and 'update_params' not in vars(runner.optim_wrapper)


def test_several_optimizers_are_not_watched(tmp_path):
    runner = tiny_runner(tmp_path, [], dataset=FixedPairs())
    runner.optim_wrapper = OptimWrapperDict(a=runner.build_optim_wrapper(runner.optim_wrapper))
    hook = FiniteLossHook()
    hook.before_train(runner)
    hook.after_train(runner)
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'does not see the losses of a model with several optimizers' in log


def test_negative_budget():
    with pytest.raises(ValueError, match='max_skipped=-1 must be'):
        FiniteLossHook(max_skipped=-1)


@pytest.mark.parametrize('name', [
    'vicmae_vit-b16_k400', 'vicmae_vit-b16_mit', 'baselines/mae_vit-b16_k400', 'quickstart/vicmae',
    'transfer/kinetics400/finetune_vit-b16_16x4', 'transfer/kinetics400/linear_vit-b16_16x4',
    'transfer/kinetics400/tsn_vit-b16_1x1x8', 'transfer/sthv2/finetune_vit-b16_u16_sthv2'])
def test_training_on_videos_names_their_files(name, repo):
    cfg = Config.fromfile(repo / 'configs' / f'{name}.py')
    pack = cfg.train_dataloader.dataset.pipeline[-1]
    while 'transforms' in pack:
        pack = pack.transforms[-1]
    assert 'filename' in pack.meta_keys
    assert cfg.default_hooks.finite_loss.type == 'vicmae_mm.FiniteLossHook'
