_base_ = './transfer_runtime.py'

default_scope = 'mmaction'
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
visualizer = dict(type='ActionVisualizer', vis_backends=_base_.vis_backends)
