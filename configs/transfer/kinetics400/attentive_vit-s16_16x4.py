# Kinetics-400, V-JEPA's attentive probe of ViT-S/16 in 16 x 8 x 3
_base_ = './attentive_vit-b16_16x4.py'

model = dict(
    backbone=dict(
        arch='deit-s',
        init_cfg=dict(checkpoint='work_dirs/vicmae_vit-s16_k400/epoch_800.pth')),
    cls_head=dict(in_channels=384, num_heads=6))
