# Contrast alone on the frame pairs, with a 2-D backbone of mmpretrain.
_base_ = './contrastive_resnet50_k400.py'

model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.SwinTransformer', arch='tiny', img_size=224),
    projector=dict(in_channels=768))
