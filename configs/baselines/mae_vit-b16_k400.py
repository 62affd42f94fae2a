# MAE on one random frame of each video (Tables 1 and 3)
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(pooling=None, projector=None, contrast_head=None)

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='vicmae_mm.SampleFramePair', num_frames=1)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
