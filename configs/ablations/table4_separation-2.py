# Table 4, frame separation 2: continuous sampling
_base_ = '../vicmae_vit-b16_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='vicmae_mm.SampleFramePair', mode='continuous', delta=2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
