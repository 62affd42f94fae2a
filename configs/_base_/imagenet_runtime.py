_base_ = './transfer_runtime.py'

default_scope = 'mmpretrain'
# For --show-dir of mmpretrain's tools/test.py. (mmaction2's hook fails with its own clips.)
default_hooks = dict(visualization=dict(type='VisualizationHook', enable=False))
visualizer = dict(type='UniversalVisualizer', vis_backends=_base_.vis_backends)
