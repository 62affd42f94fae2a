# MAE alone with the same budget: the same clips, frames, crops, steps and encoder
_base_ = './vicmae.py'

model = dict(
    backbone=dict(mask_ratio=0.75),  # MAE's own; it learns less here with ViC-MAE's 0.5
    pooling=None,
    projector=None,
    contrast_head=None)
