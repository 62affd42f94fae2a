# Table 6, colour augmentation only: no random crop, no flip
_base_ = ['../vicmae_vit-b16_k400.py', '../_base_/datasets/color_target.py']

center_crop = dict(
    type='vicmae_mm.PerFrame',
    transforms=[
        dict(
            type='mmpretrain.ResizeEdge',
            scale=256,
            edge='short',
            backend='pillow',
            interpolation='bicubic'),
        dict(type='mmpretrain.CenterCrop', crop_size=224),
    ])
train_pipeline = [
    *_base_.open_video, _base_.sample_pair, _base_.decode, center_crop,
    _base_.color_target, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
