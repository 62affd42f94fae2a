# mae_vit-b16.py for ViT-L/16
_base_ = './mae_vit-b16.py'

model = dict(
    backbone=dict(arch='l'), decoder=dict(embed_dim=1024), projector=dict(in_channels=1024))
# 24 layers: the patch embedding has 0.024 of the learning rate, as in ViT-B
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.86))
