# MAE on one random frame of each video of Moments in Time (Table 3)
_base_ = '../vicmae_vit-b16_mit.py'

model = dict(pooling=None, projector=None, contrast_head=None)

sample_frame = dict(type='vicmae_mm.SampleFramePair', num_frames=1)
train_pipeline = [
    *_base_.open_video, sample_frame, _base_.decode, _base_.crop_and_flip, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
