# Contrast alone on the frame pairs, with a 2-D backbone of mmaction2.
_base_ = './vicmae_vit-b16_k400.py'

model = dict(
    backbone=dict(_delete_=True, type='mmaction.ResNet', depth=50, norm_eval=False),
    decoder=None,
    head=None,
    pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'),
    projector=dict(in_channels=2048),
    contrast_weight=1.0,
    init_cfg=None)

default_hooks = dict(contrast_weight=dict(schedule='constant'))
