# MAE alone with the same budget: the same clips, frames, masks ratio, steps and encoder
_base_ = './vicmae.py'

model = dict(pooling=None, projector=None, contrast_head=None)
default_hooks = dict(contrast_weight=None)
