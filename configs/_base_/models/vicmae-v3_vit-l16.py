_base_ = './vicmae-v3_vit-b16.py'

model = dict(
    backbone=dict(arch='l'), decoder=dict(embed_dim=1024), projector=dict(in_channels=1024))
