# Table 4, frame separation 4: continuous sampling
_base_ = '../vicmae_vit-b16_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='vicmae_mm.SampleFramePair', mode='continuous', delta=4)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
