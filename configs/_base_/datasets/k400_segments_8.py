# Kinetics-400 as TSN samples it: 8 equal segments, one frame of each (Wang et al. 2016).
# The test has 7 x 3 views: 7 such sets of frames, interleaved, with 3 crops each.
_base_ = './k400_clips_16x4.py'

pack = [
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('img_shape', 'filename')),
]

train_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=8),
    _base_.decode,
    _base_.resize,
    dict(
        type='mmaction.MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        max_wh_scale_gap=1),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    _base_.flip,
    *pack,
]

val_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=8, test_mode=True),
    _base_.decode,
    *_base_.center_crop,
    *pack,
]

test_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=8, num_clips=7, test_mode=True),
    _base_.decode,
    dict(_base_.pack_views, input_format='NCHW'),
]

train_dataloader = dict(
    collate_fn=dict(type='pseudo_collate'), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
