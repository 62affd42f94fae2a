_base_ = './imagenet_linear_vit-b16.py'

# 384 wide, 12 deep, 6 heads (mmpretrain's 's' is another network)
model = dict(
    backbone=dict(
        arch='deit-s',
        frozen_stages=12,
        init_cfg=dict(checkpoint='work_dirs/vicmae_vit-s16_k400/epoch_800.pth')),
    neck=dict(input_features=384),
    head=dict(in_channels=384))
