# Table 9: a frozen encoder, BatchNorm without affine parameters, a linear classifier; no mixup,
# CutMix, drop path (appendix A) or label smoothing
_base_ = './imagenet_vit-b16.py'

model = dict(
    backbone=dict(frozen_stages=12, drop_path_rate=0.0),
    neck=dict(type='ClsBatchNormNeck', input_features=768, affine=False, eps=1e-6),
    head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss'), init_cfg=dict(std=0.01)),
    train_cfg=None)
