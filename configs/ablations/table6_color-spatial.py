# Table 6, colour and spatial augmentation
_base_ = ['../vicmae_vit-b16_k400.py', '../_base_/datasets/color_target.py']

train_pipeline = _base_.train_pipeline
train_pipeline.insert(4, _base_.color_target)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
