# MAE alone with the same budget: the same clips, frames, mask ratio, steps and encoder
_base_ = './vicmae.py'

model = dict(pooling=None, projector=None, contrast_head=None)
