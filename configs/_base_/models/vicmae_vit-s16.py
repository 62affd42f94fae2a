_base_ = './vicmae_vit-b16.py'

# 384 wide, 12 deep, 6 heads: ViT-S of DeiT and timm (mmpretrain's 's' is another network)
model = dict(
    backbone=dict(arch='deit-s'), decoder=dict(embed_dim=384), projector=dict(in_channels=384))
