# ViT-L/16: 60.0 reported after in1k-k400, 60.7 after in1k-k710-mit, read as fine-tuning
_base_ = './finetune_vit-b16.py'

model = dict(
    backbone=dict(
        arch='l',
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-l16_in1k-k400/epoch_800.pth')),
    head=dict(in_channels=1024))
