# Something-Something V2, V-JEPA's attentive probe of ViT-L/16 in 16 x 2 x 3
_base_ = './attentive_vit-b16_16x4_sthv2.py'

model = dict(
    backbone=dict(
        arch='l',
        frozen_stages=24,
        init_cfg=dict(checkpoint='work_dirs/vicmae_vit-l16_k400/epoch_800.pth')),
    cls_head=dict(in_channels=1024, num_heads=16))
