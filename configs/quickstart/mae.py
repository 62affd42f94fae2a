# MAE alone with the same budget: the same clips, frames, crops, steps and encoder
_base_ = './vicmae.py'

title = 'MAE, equal budget'
about = ('the same encoder and decoder, clips, frames, crops, number of steps and learning rate. '
         'It reconstructs both frames of a pair, but does not contrast them.')

model = dict(
    backbone=dict(mask_ratio=0.75),  # MAE's own; it learns less here with ViC-MAE's 0.5
    pooling=None,
    projector=None,
    contrast_head=None)
