# Table 6, colour augmentation only: no random crop, no flip
_base_ = ['../vicmae_vit-b16_k400.py', '../_base_/datasets/color_target.py']

train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(
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
train_pipeline.insert(4, _base_.color_target)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
