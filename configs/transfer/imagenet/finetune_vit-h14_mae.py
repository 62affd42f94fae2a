# ViT-H/14 under the recipe for ViT-L/16; no number is known
_base_ = './finetune_vit-l16_mae.py'

model = dict(
    backbone=dict(
        arch='h',
        patch_size=14,
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-h14_in1k-k400/epoch_800.pth')),
    head=dict(in_channels=1280))
