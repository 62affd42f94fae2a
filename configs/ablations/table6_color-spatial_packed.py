# Table 6, colour and spatial augmentation, from packed frames
_base_ = ['../vicmae_vit-b16_k400-packed.py', '../_base_/datasets/color_target.py']

train_pipeline = [
    *_base_.open_video, _base_.sample_pair, _base_.decode, _base_.crop_and_flip,
    _base_.color_target, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
