# ImageNet-1K, V-JEPA's attentive probe of ViT-L/16
_base_ = './attentive_vit-b16.py'

model = dict(
    backbone=dict(
        arch='l',
        frozen_stages=24,
        init_cfg=dict(checkpoint='work_dirs/vicmae_vit-l16_k400/epoch_800.pth')),
    neck=dict(in_channels=1024, num_heads=16),
    head=dict(in_channels=1024))
