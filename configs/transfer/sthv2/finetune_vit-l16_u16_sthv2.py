# ViT-L/16: 75.0 reported after in1k-k400, 75.9 after in1k-k710-mit. The recipe is VideoMAE's for
# ViT-B; it has none for ViT-L. To save memory: model.backbone.with_cp=True
_base_ = './finetune_vit-b16_u16_sthv2.py'

model = dict(
    backbone=dict(
        arch='l',
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-l16_in1k-k400/epoch_800.pth')),
    cls_head=dict(in_channels=1024))
