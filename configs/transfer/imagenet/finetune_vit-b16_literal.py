# Table 8 and nothing that it does not name: no CutMix, no random erasing
_base_ = './finetune_vit-b16.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]))

load, crop, flip, rand_augment, _, pack = _base_.train_pipeline
train_pipeline = [load, crop, flip, rand_augment, pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
