_base_ = './imagenet_vit-b16.py'

model = dict(
    backbone=dict(
        arch='l', init_cfg=dict(checkpoint='work_dirs/vicmae_vit-l16_k400/epoch_800.pth')),
    head=dict(in_channels=1024))
