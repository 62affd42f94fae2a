# The later paper (ECCV 2024): as in the authors' code, except for the mask ratio
_base_ = './vicmae-official_vit-b16.py'

model = dict(backbone=dict(mask_ratio=0.75))
