_base_ = './transfer_runtime.py'

default_scope = 'mmaction'
log_processor = dict(window_size=20)
visualizer = dict(type='ActionVisualizer', vis_backends=_base_.vis_backends)
