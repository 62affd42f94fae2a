# Table 8 and nothing that it does not name: no CutMix, no random erasing
_base_ = './finetune_vit-l16.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]))

train_pipeline = [
    _base_.load, _base_.random_crop, _base_.random_flip, _base_.rand_augment, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
