"""Keys of a config, or of options of the command line, that nothing reads."""
import inspect
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, Registry
from torch.distributed import init_process_group

from vicmae_mm.commands.argument_advice import arguments, did_you_mean
from vicmae_mm.engine.hooks.switched_off import LOSSES

from .findings import Findings

# What the tools of mmengine's projects read at the top level of a config, besides the runner.
_TOP = {'allow_unknown', 'compile', 'custom_imports', 'epochs', 'find_unused_parameters',
        'image_size', 'model_wrapper_cfg', 'runner_type', 'sync_bn'}
_FOR_TESTS = {'tta_model', 'tta_pipeline'}
_ALIKE, _VERY_ALIKE = 0.75, 0.85  # from 0 to 1, as difflib measures
_ALLOW = (" (if it is right: --cfg-options allow_unknown={0}, or allow_unknown = ['{0}'] in the "
          'config)')
_FILE = re.compile(r'^\S.*\.py$', re.MULTILINE)  # mmengine writes it above the text of each file


def check_keys(cfg: Config, runner: type, options: Collection[str], findings: Findings) -> None:
    """Find keys that nothing reads; mmengine takes any without a word.

    An unknown key at the top level is an error if it is close to a known one, comes from the
    command line, or is a dict, list or new value of a variable that the config does not use
    afterwards. Others may be variables. A list ``allow_unknown`` in the config lets keys pass.

    Args:
        cfg: With the options merged.
        runner: Its class.
        options: Dotted names of the options.
        findings: Gets the errors; a warning for a key in a config of an installed library.
    """
    allowed = cfg.get('allow_unknown') or []
    allowed = {allowed} if isinstance(allowed, str) else {*allowed}
    known = {*arguments(runner), *_TOP}
    asked = {option.partition('.')[0] for option in options}
    for key in sorted({*cfg} - known - _FOR_TESTS - allowed):
        report, words = findings.error, ''
        place = None if key in asked else _unused(cfg, key)
        if get_close_matches(key, known, 1, _VERY_ALIKE if place is None and key not in asked
                             else _ALIKE):
            words = f'{key} is no setting{did_you_mean(key, known)}'
        elif key in asked:
            words = (f'--cfg-options {key}: this is no setting. The config itself has read its '
                     'variables before: replace the settings that they are for')
        elif place is not None:
            words = f'{place}: nothing reads {key} after it is set there'
            report = findings.warn if '/.mim/' in place else report
        if words:
            report(words + _ALLOW.format(key))
    for path, node, names, cutoff in _read_key_by_key(cfg, runner):
        for key in sorted({*node} - names - allowed) if names and isinstance(node, dict) else ():
            if get_close_matches(key, names, 1, cutoff):
                hint = ''.join(f'; did you mean {path}.{name}?'
                               for name in get_close_matches(key, names, 1))
                findings.error(f'{path}.{key} is no setting{hint}{_ALLOW.format(key)}')


def _unused(cfg: Config, key: str) -> str | None:
    """The file that sets a variable which no config reads afterwards; None if one does."""
    text = cfg.text
    tops = re.findall(r'^(\w+)\s*=(?!=)', text, re.MULTILINE)
    heads = list(re.finditer(rf'^{key}\s*=(?!=)', text, re.MULTILINE))
    # mmengine's copy of a config in the work dir is sorted, and has no variables any more.
    if not heads or tops == sorted(tops) or re.search(rf'\b{key}\b', text[heads[-1].end():]):
        return None
    holds_dicts = isinstance(cfg[key], dict) or (
        isinstance(cfg[key], (list, tuple)) and any(isinstance(each, dict) for each in cfg[key]))
    file = ['', *_FILE.findall(text[:heads[-1].start()])][-1]
    # A plain value may be a note, but not one that replaces that of a base.
    return file if holds_dicts or (len(heads) > 1 and '/.mim/' not in file) else None


def _read_key_by_key(cfg: Config, runner: Any) -> Iterator[tuple[str, Any, set[str], float]]:
    """Dicts that are no arguments of anything: path, dict, keys that are read, and similarity."""
    env, wrapper, model = (cfg.get(name) or {} for name in ('env_cfg', 'optim_wrapper', 'model'))
    yield 'env_cfg', env, _texts(runner.setup_env), 0
    yield ('env_cfg.dist_cfg', env.get('dist_cfg'),
           arguments(init_dist) | arguments(init_process_group), 0)
    yield 'auto_scale_lr', cfg.get('auto_scale_lr'), {'enable', 'base_batch_size'}, 0
    constructor = _found(OPTIM_WRAPPER_CONSTRUCTORS, wrapper.get('constructor')
                         or 'DefaultOptimWrapperConstructor')
    yield 'optim_wrapper.paramwise_cfg', wrapper.get('paramwise_cfg'), _texts(constructor), _ALIKE
    keys = _texts(_found(MODELS, model.get('type')))
    yield 'model.train_cfg', model.get('train_cfg'), keys, _ALIKE
    yield 'model.test_cfg', model.get('test_cfg'), keys, _ALIKE
    hooks = cfg.get('default_hooks') or {}
    known = _texts(runner.register_default_hooks)
    typed = {key for key, value in hooks.items() if isinstance(value, dict) and 'type' in value}
    yield 'default_hooks', {key: hooks[key] for key in typed}, known, _VERY_ALIKE
    yield ('default_hooks', {key: hooks[key] for key in hooks if key not in typed},
           known | typed | set(LOSSES), _ALIKE)


def _found(registry: Registry, kind: Any) -> Any:
    with registry.switch_scope_and_registry(None) as scoped:  # the default scope
        return scoped.get(kind) if isinstance(kind, str) else kind


def _texts(code: Any) -> set[str]:
    """Texts and names of dicts in a method, or in the modules of a class and its parents."""
    parts: set[Any] = {inspect.getmodule(each) for each in inspect.getmro(code)} if inspect.isclass(
        code) else {code}
    found = set()
    for part in parts:
        with suppress(OSError, TypeError):  # there is no source
            found |= set(re.findall(r"'(\w+)'|\b(\w+)=dict\(", inspect.getsource(part)))
    return {text for texts in found for text in texts if text}
