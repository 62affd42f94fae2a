"""Child registries of mmengine's, with the scope ``vicmae_mm``.

A config names components as ``type='vicmae_mm.ViCMAE'``. mmengine then imports the
packages in ``locations``, so nothing heavy is loaded before it is used.
"""
from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

SCOPE = 'vicmae_mm'

MODELS = Registry(
    'model', parent=mmengine_registry.MODELS, scope=SCOPE, locations=['vicmae_mm.models'])
DATASETS = Registry(
    'dataset', parent=mmengine_registry.DATASETS, scope=SCOPE, locations=['vicmae_mm.datasets'])
TRANSFORMS = Registry(
    'transform', parent=mmengine_registry.TRANSFORMS, scope=SCOPE,
    locations=['vicmae_mm.datasets'])
DATA_SAMPLERS = Registry(
    'data sampler', parent=mmengine_registry.DATA_SAMPLERS, scope=SCOPE,
    locations=['vicmae_mm.datasets'])
LOOPS = Registry(
    'loop', parent=mmengine_registry.LOOPS, scope=SCOPE, locations=['vicmae_mm.engine'])
HOOKS = Registry(
    'hook', parent=mmengine_registry.HOOKS, scope=SCOPE, locations=['vicmae_mm.engine'])
LOG_PROCESSORS = Registry(
    'log processor', parent=mmengine_registry.LOG_PROCESSORS, scope=SCOPE,
    locations=['vicmae_mm.engine'])
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper', parent=mmengine_registry.OPTIM_WRAPPERS, scope=SCOPE,
    locations=['vicmae_mm.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE, locations=['vicmae_mm.engine'])
METRICS = Registry(
    'metric', parent=mmengine_registry.METRICS, scope=SCOPE, locations=['vicmae_mm.evaluation'])
