"""``default_hooks.NAME=None`` switches any hook off, and the log says what that loses."""
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import IterTimerHook

from tests.conftest import REPO
from tests.helpers.runs import tiny_runner
from vicmae_mm.engine import hooks
from vicmae_mm.engine.hooks.switched_off import LOSSES

CONFIGS = ['vicmae_vit-b16_k400.py', 'transfer/imagenet/finetune_vit-b16.py',
           'transfer/kinetics400/tsn_contrastive-r50_1x1x3.py']


def named_hooks() -> dict[str, str]:
    """Names and types of our hooks in the configs."""
    found = {}
    for config in CONFIGS:
        for name, hook in Config.fromfile(REPO / 'configs' / config).default_hooks.items():
            if hook.type.startswith('vicmae_mm.'):
                found[name] = hook.type.removeprefix('vicmae_mm.')
    return found


def test_every_hook_of_the_configs_has_its_line():
    assert LOSSES.keys() == named_hooks().keys()
    assert {*named_hooks().values()} < {*hooks.__all__}


def log_of(folder: Path) -> str:
    return next(folder.rglob('*.log')).read_text()


def test_a_run_goes_on_without_them(tmp_path):
    off = dict.fromkeys([*LOSSES, 'timer', 'someones_own'])
    runner = tiny_runner(tmp_path, [None, IterTimerHook()], epochs=1, default_hooks=off)
    runner.train()
    kinds = {type(hook).__name__ for hook in runner.hooks}
    assert kinds == {'RuntimeInfoHook', 'DistSamplerSeedHook', 'LoggerHook', 'ParamSchedulerHook',
                     'IterTimerHook'}
    assert not [*tmp_path.glob('*.pth')] and runner.iter == 2
    log = log_of(tmp_path)
    for name in off:
        assert log.count(f'default_hooks.{name}=None switches this hook off') == 1
    assert ('default_hooks.finite_loss=None switches this hook off: a loss or gradient that is NaN '
            'or infinite reaches the weights.') in log
