"""Checks of the types that a config names and of the checkpoints that it starts from."""
from collections.abc import Iterator
from typing import Any

from mmengine import registry
from mmengine.config import Config
from mmengine.registry import HOOKS, Registry

from vicmae_mm.checkpoints.integrity import check_exists

from .findings import Findings

_TYPED = dict(
    train_cfg=registry.LOOPS, val_cfg=registry.LOOPS, optim_wrapper=registry.OPTIM_WRAPPERS,
    param_scheduler=registry.PARAM_SCHEDULERS, val_evaluator=registry.METRICS,
    visualizer=registry.VISUALIZERS, log_processor=registry.LOG_PROCESSORS)


def check_components(cfg: Config, findings: Findings) -> None:
    """Look up every type, build the hooks and look for the checkpoints."""
    if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
        findings.error('the config lacks train_dataloader or train_cfg: training needs both')
    for name, kinds in _TYPED.items():
        for path, node in _dicts(cfg.get(name), name):
            _check_type(path, node, kinds, findings)
    for path, hook in hooks(cfg):
        if isinstance(hook, dict):
            with findings.catch(path):
                HOOKS.build(dict(hook))
    for path, checkpoint in [('load_from', cfg.get('load_from') or None),
                             *_pretrained(cfg.get('model'), 'model')]:
        if isinstance(checkpoint, str):
            try:
                check_exists(checkpoint, f'correct {path}')
            except FileNotFoundError as error:
                findings.error(str(error))


def hooks(cfg: Config) -> list[tuple[str, Any]]:
    """Names and configs of the hooks."""
    named = [(f'default_hooks.{name}', hook)
             for name, hook in (cfg.get('default_hooks') or {}).items()]
    more = enumerate(cfg.get('custom_hooks') or [])
    return [*named, *((f'custom_hooks.{index}', hook) for index, hook in more)]


def _dicts(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        yield path, node
    elif isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _dicts(item, f'{path}.{index}')


def _check_type(path: str, node: dict, kinds: Registry, findings: Findings) -> None:
    kind = node.get('type')
    # val_evaluator is an evaluator, or only the metrics for mmengine's own.
    registries = (kinds, registry.EVALUATOR) if kinds is registry.METRICS else (kinds, )
    if isinstance(kind, str) and not any(_find(kind, each) for each in registries):
        findings.error(f'{path}.type={kind!r} is not a registered {kinds.name}: correct its '
                       'spelling, or add the module that defines it to custom_imports')


def _find(kind: str, kinds: Registry) -> object:
    # Without this, a type of the default scope needs its prefix: "mmpretrain.".
    with kinds.switch_scope_and_registry(None) as registry_of_scope:
        return registry_of_scope.get(kind)


def _pretrained(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Checkpoints of ``init_cfg=dict(type='Pretrained', checkpoint=...)``, wherever they are."""
    items = node.items() if isinstance(node, dict) else (
        enumerate(node) if isinstance(node, (list, tuple)) else ())
    for name, item in items:
        yield from _pretrained(item, f'{path}.{name}')
    if isinstance(node, dict) and str(node.get('type')).endswith('Pretrained'):
        yield f'{path}.checkpoint', node.get('checkpoint')
