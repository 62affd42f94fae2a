# Table 4, frame separation 8: continuous sampling
_base_ = '../vicmae_vit-b16_k400.py'

sample_pair = dict(
    type='vicmae_mm.SampleFramePair', mode='continuous', delta=8,
    num_sections=None)  # not that of the base
train_pipeline = [
    *_base_.open_video, sample_pair, _base_.decode, _base_.crop_and_flip, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
