# The recipe of the authors' later public code, which differs from the paper's v1.
_base_ = './vicmae_vit-b16_k400.py'

model = dict(
    backbone=dict(mask_ratio=0.5),
    projector=dict(variant='official'),  # 768-4096-4096-128
    recon_weight=0.97,
    contrast_weight=0.03)

default_hooks = dict(contrast_weight=dict(schedule='constant'))
