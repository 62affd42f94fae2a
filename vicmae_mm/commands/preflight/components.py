"""Types that a config names, and checkpoints that it starts from."""
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
    """Look up every type, build the hooks, look for the checkpoints."""
    if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
        findings.error('the config has no train_dataloader and train_cfg: it is none to train '
                       'with; give both')
    for name, kinds in _TYPED.items():
        for path, node in _dicts(cfg.get(name), name):
            _check_type(path, node, kinds, findings)
    for path, hook in hooks(cfg):
        if isinstance(hook, dict):
            with findings.catch(path):
                HOOKS.build(dict(hook))
    _check_checkpoints(cfg, findings)


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
    # an evaluator is named by itself or by its metrics
    registries = (kinds, registry.EVALUATOR) if kinds is registry.METRICS else (kinds, )
    if isinstance(kind, str) and not any(_find(kind, each) for each in registries):
        findings.error(f'{path}.type={kind!r} is no registered {kinds.name}: correct its spelling, '
                       'or add the module that has it to custom_imports')


def _find(kind: str, kinds: Registry) -> object:
    with kinds.switch_scope_and_registry(None) as own:  # that of the default scope
        return own.get(kind)


def _check_checkpoints(cfg: Config, findings: Findings) -> None:
    named = [('load_from', cfg.get('load_from'))] if cfg.get('load_from') else []
    named += _pretrained(cfg.get('model'), 'model')
    for path, checkpoint in named:
        if isinstance(checkpoint, str):
            try:
                check_exists(checkpoint, f'correct {path}')
            except FileNotFoundError as error:
                findings.error(str(error))


def _pretrained(node: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(node, (list, tuple)):
        return [found for index, item in enumerate(node)
                for found in _pretrained(item, f'{path}.{index}')]
    if not isinstance(node, dict):
        return []
    found = [found for name, item in node.items() for found in _pretrained(item, f'{path}.{name}')]
    if str(node.get('type')).endswith('Pretrained') and 'checkpoint' in node:
        found.append((f'{path}.checkpoint', node['checkpoint']))
    return found
