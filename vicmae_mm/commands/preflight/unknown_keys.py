"""Keys of a config, or of options of the command line, that nothing reads."""
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS

from vicmae_mm.commands.options import setting_at
from vicmae_mm.commands.scope_advice import arguments
from vicmae_mm.engine.hooks.switched_off import LOSSES

from .findings import Findings

_ALIKE, _VERY_ALIKE = 0.75, 0.85  # from 0 to 1, as difflib measures
# What the runner and the tools read key by key; '' is the top level. Other dicts are arguments, and
# what is built from them refuses unknown ones.
_READ = {
    '': 'allow_unknown compile custom_imports epochs find_unused_parameters image_size '
        'model_wrapper_cfg runner_type sync_bn',
    'auto_scale_lr': 'base_batch_size enable',
    'default_hooks': 'checkpoint logger param_scheduler runtime_info sampler_seed timer',
    'env_cfg': 'cudnn_benchmark dist_cfg mp_cfg resource_limit',
    'model.test_cfg': 'average_clips fcn_test feature_extraction max_testing_views',
    'model.train_cfg': 'augments aux_info blending',
    'optim_wrapper.paramwise_cfg': 'bias_decay_mult bias_lr_mult bypass_duplicate custom_keys '
        'dcn_offset_lr_mult dwconv_decay_mult flat_decay_mult layer_decay_rate norm_decay_mult'}


def check_keys(cfg: Config, runner: type, options: Collection[str], findings: Findings) -> None:
    """Find keys that nothing reads; mmengine takes any without a word.

    An unknown key is an error if it resembles a known one, at the top level also if it is an option
    (of the dotted names ``options``, which ``cfg`` contains), or a dict, list or new value of a
    variable that no config uses afterwards; in a library's config, that is a warning. So is an
    option that resembles its neighbours and is no argument. ``allow_unknown``, a list in the
    config, lets keys pass.
    """
    allowed = cfg.get('allow_unknown') or ()
    allowed = {*([allowed] if isinstance(allowed, str) else allowed), 'tta_model', 'tta_pipeline'}
    for path, names in _READ.items():
        node, known = (setting_at(cfg, path), {*names.split()}) if path else (
            cfg, {*names.split(), *arguments(runner)})
        # What should be a dict, and is none, is refused where it is used.
        for key in sorted({*node} - known - allowed) if hasattr(node, 'keys') else ():
            asked = not path and any(option.partition('.')[0] == key for option in options)
            place = None if path or asked else _unused(cfg, key)
            doubtful = asked or place is not None or path in ('auto_scale_lr', 'env_cfg')
            likeness, others = _ALIKE if doubtful else _VERY_ALIKE, known
            if path == 'default_hooks' and not setting_at(node, f'{key}.type'):
                likeness, others = _ALIKE, {*LOSSES, *node, *known} - {key}
            close = get_close_matches(key, others, 1, likeness)
            if (path == 'default_hooks' and key in LOSSES) or not (doubtful or close):
                continue
            words = f'{path}.{key}'.lstrip('.') + ' is not a setting'
            if close:
                words += f'; did you mean {close[0]}?'
            elif place:
                words = f'{place}: nothing reads {key} after it is set there'
            elif asked:
                words += '; variables are resolved while the file is read: set what uses it'
            report = findings.warn if '/.mim/' in (place or '') else findings.error
            report(f'{words} (if it is intended: --cfg-options allow_unknown={key}, or '
                   f"allow_unknown = ['{key}'] in the config)")
    for option in options:
        path, _, key = option.rpartition('.')
        node = setting_at(cfg, path) if path else None
        close = get_close_matches(key, {*node} - {key} if isinstance(node, dict) else (), 1, _ALIKE)
        if close and key not in re.findall(r'\w+', cfg.text) and not _takes(node, key):
            findings.warn(f'--cfg-options {option}: the config has no such setting; did you mean '
                          f'{path}.{close[0]}?')


def _takes(node: Any, key: str) -> bool:
    """Whether the class that is built from a dict has an argument that the dict does not give."""
    for registry in (HOOKS, MODELS, DATASETS, OPTIMIZERS):
        with registry.switch_scope_and_registry(None) as own:
            kind = own.get(node['type']) if isinstance(node.get('type'), str) else node.get('type')
        if kind and key in arguments(kind):
            return True
    return False


def _unused(cfg: Config, key: str) -> str | None:
    """The file that sets a variable which no config reads afterwards; None if one does."""
    tops = re.findall(r'^(\w+)\s*=(?!=)', cfg.text, re.MULTILINE)
    *before, rest = re.split(rf'^{key}\s*=(?!=)', cfg.text, flags=re.MULTILINE)
    # mmengine's copy of a config in the work dir is sorted, and has no variables any more.
    if not before or tops == sorted(tops) or re.search(rf'\b{key}\b', rest):
        return None
    # mmengine writes the path above the text of each file.
    file = ['', *re.findall(r'^\S.*\.py$', ''.join(before), re.MULTILINE)][-1]
    value = cfg[key] if isinstance(cfg[key], (list, tuple)) else [cfg[key]]
    # A plain value may be a note, but not one that replaces that of a base.
    holds_dicts = any(isinstance(each, dict) for each in value)
    return file if holds_dicts or (len(before) > 1 and '/.mim/' not in file) else None
