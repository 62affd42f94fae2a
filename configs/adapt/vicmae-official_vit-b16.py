# From the authors' own weights, with their projector and losses
_base_ = './mae_vit-b16.py'

model = dict(
    backbone=dict(mask_ratio=0.5),
    projector=dict(variant='official'),
    recon_weight=0.97,
    contrast_weight=0.03)
