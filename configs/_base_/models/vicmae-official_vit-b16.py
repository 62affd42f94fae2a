# The authors' later public code
_base_ = './vicmae_vit-b16.py'

model = dict(
    backbone=dict(mask_ratio=0.5),
    projector=dict(variant='official'),  # 768-4096-4096-128
    recon_weight=0.97,
    contrast_weight=0.03)
