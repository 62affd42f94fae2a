# Patch tokens after the final norm, averaged, instead of the class token
_base_ = './linear_vit-b16.py'

model = dict(
    backbone=dict(out_type='featmap'),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=768, affine=False, eps=1e-6),
    ])
