"""One function for each upstream fault, which raises where the fault is there.

``python -m tests.helpers.upstream_faults FOLDER stock|patched NAME...`` tries them in a fresh
process, with vicmae_mm imported first or not, and prints what each raised as JSON.
"""
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def torchvision_without_ops(folder: Path) -> None:
    def load_library(path: str) -> None:
        raise OSError(f'{path}: libcudart.so: cannot open shared object file')

    stock, torch.ops.load_library = torch.ops.load_library, load_library
    try:
        import torchvision  # noqa: F401
        from torchvision import transforms  # noqa: F401
    finally:
        torch.ops.load_library = stock


def multimodal_models(folder: Path) -> None:
    new = folder / 'transformers-5.0.dist-info'
    new.mkdir()
    (new / 'METADATA').write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 5.0\n')
    sys.path.insert(0, str(folder))
    try:
        from mmaction.utils.dependency import WITH_MULTIMODAL
    finally:
        sys.path.remove(str(folder))
    assert not WITH_MULTIMODAL, 'imports models written for an older transformers'


def mmaction_drn(folder: Path) -> None:
    import mmaction.models  # noqa: F401


def package_paths(folder: Path) -> None:
    from mmengine.config import Config
    config = folder / 'config.py'
    config.write_text("_base_ = 'mmpretrain::_base_/default_runtime.py'\n")
    sys.modules['pkg_resources'] = None  # as with setuptools 82: import fails
    assert Config.fromfile(config).default_hooks


def our_models(folder: Path) -> None:
    from mmengine.config.utils import _get_package_and_cfg_path
    for name in ('a/b.py', 'b.py'):
        assert _get_package_and_cfg_path(f'vicmae_mm::{name}') == ('vicmae_mm', name)


def our_configs(folder: Path) -> None:
    from mmengine.config import Config
    config = folder / 'config.py'
    config.write_text("_base_ = 'vicmae_mm::vicmae_vit-b16_k400.py'\n")
    assert '_scope_' not in Config.fromfile(config).model


def scope_in_collate(folder: Path) -> None:
    from mmengine.dataset import BaseDataset
    from mmengine.runner import Runner
    dataset = BaseDataset(lazy_init=True)
    dataset.full_init = lambda: None
    dataset._fully_initialized = True
    dataset.data_list, dataset.serialize_data = [dict(x=1), dict(x=2)], False
    config = dict(
        dataset=dataset, batch_size=2, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate', _scope_='mmpretrain'))
    assert next(iter(Runner.build_dataloader(config)))['x'].tolist() == [1, 2]
    assert '_scope_' in config['collate_fn'], 'the config itself is left alone'


def _runner(folder: Path, **settings: object) -> object:
    """Batches of two on one process."""
    from mmengine.runner import Runner
    from mmengine.testing.runner_test_case import ToyModel
    loader = torch.utils.data.DataLoader(torch.zeros(4, 2), batch_size=2)
    return Runner(ToyModel(), str(folder), train_dataloader=loader, experiment_name=str(settings),
                  **{'train_cfg': dict(by_epoch=True, max_epochs=1),
                     'optim_wrapper': dict(optimizer=dict(type='SGD', lr=0.1)), **settings})


def hooks_switched_off(folder: Path) -> None:
    runner = _runner(folder, default_hooks=dict(curves=None, timer=None), custom_hooks=[None])
    assert not any('Timer' in type(hook).__name__ for hook in runner.hooks)
    assert len(runner.hooks) == 5


def batch_of_scale_lr(folder: Path) -> None:
    runner = _runner(folder)
    wrapper = runner.build_optim_wrapper(
        dict(optimizer=dict(type='SGD', lr=1.), accumulative_counts=8))
    runner.scale_lr(wrapper, dict(base_batch_size=16, enable=True))
    assert wrapper.get_lr() == dict(lr=[1.]), wrapper.get_lr()


def checkpoints_hold_getattr(folder: Path) -> None:
    from mmengine.logging import HistoryBuffer
    torch.save(HistoryBuffer([1.0], [1]), folder / 'log.pth')
    log = torch.load(folder / 'log.pth', weights_only=True)
    assert log.mean() == 1.0 and log.statistics('max') == 1.0
    assert b'getattr' not in (folder / 'log.pth').read_bytes()


def _message(function: Callable, *args: object) -> str:
    try:
        function(*args)
    except Exception as error:
        return str(error)
    return ''


class Touch:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path), )


def url_unpickles_anything(folder: Path) -> None:
    from mmengine.runner.checkpoint import _load_checkpoint
    # A file in torch.hub's cache is what a download would be.
    (folder / 'hub/checkpoints').mkdir(parents=True)
    torch.save(Touch(folder / 'url_ran'), folder / 'hub/checkpoints/evil.pth')
    os.environ['TORCH_HOME'] = str(folder)
    message = _message(_load_checkpoint, 'https://example.invalid/evil.pth')
    assert not (folder / 'url_ran').exists(), 'the file was executed'
    assert message.startswith('Refused to load https://example.invalid/evil.pth')


def resume_runs_config_text(folder: Path) -> None:
    from mmengine.runner import Runner
    from mmengine.testing.runner_test_case import ToyModel
    marker = folder / 'resume_ran'
    empty = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    meta = dict(epoch=1, iter=1, config=f'x = __import__("os").mkdir({str(marker)!r})\n')
    torch.save(
        dict(meta=meta, state_dict=ToyModel().state_dict(), message_hub=empty),
        folder / 'evil.pth')
    runner = Runner(
        ToyModel(), str(folder), train_cfg=dict(by_epoch=True, max_epochs=2),
        train_dataloader=torch.utils.data.DataLoader(torch.zeros(2, 2)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), experiment_name='resume')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.resume(str(folder / 'evil.pth'), map_location='cpu')
    assert runner.epoch == 1
    assert not marker.exists(), 'the config text was executed'


def inferencer_runs_config_text(folder: Path) -> None:
    from mmengine.config import ConfigDict
    from mmengine.infer import BaseInferencer
    marker = folder / 'inferencer_ran'
    torch.save(
        dict(meta=dict(cfg=f'x = __import__("os").mkdir({str(marker)!r})\n'), state_dict={}),
        folder / 'evil_cfg.pth')
    message = _message(
        BaseInferencer._init_model, object(), ConfigDict(), str(folder / 'evil_cfg.pth'))
    assert not marker.exists(), 'the config text was executed'
    assert 'Name the config' in message


def inferencer_scope(folder: Path) -> None:
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmpretrain import FeatureExtractor
    model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18))
    resize = dict(type='Resize', scale=32)  # mmaction2's takes no int
    dataset = dict(type='mmpretrain.CustomDataset', pipeline=[resize])
    cfg = Config(dict(model=model, test_dataloader=dict(dataset=dataset)))
    with DefaultScope.overwrite_default_scope('mmaction'):
        FeatureExtractor(cfg, pretrained=False)


def activation_checkpointing(folder: Path) -> None:
    from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

    class Layer(torch.nn.Linear):

        def forward(self, x: torch.Tensor, scale: float = 1.) -> torch.Tensor:
            return super().forward(x) * scale

    model = torch.nn.ModuleDict(dict(backbone=Layer(2, 2), head=torch.nn.Linear(2, 1)))
    turn_on_activation_checkpointing(model, ['backbone'])
    x = torch.ones(3, 2)
    model.head(model.backbone(x)).sum().backward()
    assert model.backbone.weight.grad is not None, 'no gradient'
    assert torch.equal(model.backbone(x, scale=2.), 2 * model.backbone(x))


def processes_on_cpu(folder: Path) -> None:
    from mmengine.dist import init_dist
    os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1',
                      MASTER_PORT='0')
    set_device = torch.cuda.set_device
    init_dist('pytorch', backend='nccl')
    assert torch.distributed.get_backend() == 'gloo'
    assert torch.cuda.set_device is set_device


def ddp_on_cpu(folder: Path) -> None:
    from mmengine.model import MMDistributedDataParallel
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            'gloo', init_method=f'file://{folder}/rendezvous', rank=0, world_size=1)
    MMDistributedDataParallel(module=torch.nn.Linear(2, 2), device_ids=[0])


def negative_hue_mmcv(folder: Path) -> None:
    import mmcv
    from mmcv.image.photometric import adjust_hue
    assert mmcv.adjust_hue is adjust_hue
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for backend in ('cv2', 'pillow'):
        turned = mmcv.adjust_hue(image, -0.1, backend)
        assert turned.dtype == np.uint8 and (turned != image).any()


def negative_hue_mmaction(folder: Path) -> None:
    from mmaction.datasets.transforms import ColorJitter
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    ColorJitter.adjust_hue(image, -0.1)


FAULTS: dict[str, Callable[[Path], None]] = {
    fault.__name__: fault
    for fault in (
        torchvision_without_ops, multimodal_models, mmaction_drn, our_models, our_configs,
        scope_in_collate, hooks_switched_off, batch_of_scale_lr,
        checkpoints_hold_getattr, url_unpickles_anything, resume_runs_config_text,
        inferencer_runs_config_text, inferencer_scope, activation_checkpointing,
        processes_on_cpu, ddp_on_cpu, negative_hue_mmcv, negative_hue_mmaction, package_paths)
}


def _raised(fault: Callable[[Path], None], folder: Path) -> str | None:
    try:
        fault(folder)
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return None


def main(folder: str, mode: str, *names: str) -> None:
    """Try the named faults in this process and print what they raised, null for nothing."""
    if mode == 'patched':
        import vicmae_mm  # noqa: F401
    print(json.dumps({name: _raised(FAULTS[name], Path(folder)) for name in names}))


if __name__ == '__main__':
    main(*sys.argv[1:])
