_base_ = './linear_vit-b16.py'

model = dict(
    backbone=dict(
        arch='l',
        frozen_stages=24,
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-l16_in1k-k400/epoch_800.pth')),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024))
