# ImageNet-1K, V-JEPA's attentive probe of ViT-S/16
_base_ = './attentive_vit-b16.py'

model = dict(
    backbone=dict(
        arch='deit-s',
        init_cfg=dict(checkpoint='work_dirs/vicmae_vit-s16_k400/epoch_800.pth')),
    neck=dict(in_channels=384, num_heads=6),
    head=dict(in_channels=384))
