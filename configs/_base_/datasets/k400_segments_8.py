# Kinetics-400 as TSN sees it: the video in 8 equal segments, a frame of each (Wang et al. 2016).
# The test has 7 x 3 views: 7 such sets of frames, interleaved, with 3 crops each.
_base_ = './k400_clips_16x4.py'

train_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='mmaction.UniformSample', clip_len=8),
    dict(type='vicmae_mm.VideoDecode'),
    dict(type='mmaction.Resize', scale=(-1, 256)),
    dict(
        type='mmaction.MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        max_wh_scale_gap=1),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('img_shape', 'filename')),
]

val_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='mmaction.UniformSample', clip_len=8, test_mode=True),
    dict(type='vicmae_mm.VideoDecode'),
    dict(type='mmaction.Resize', scale=(-1, 224)),
    dict(type='mmaction.CenterCrop', crop_size=224),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('img_shape', 'filename')),
]

test_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='mmaction.UniformSample', clip_len=8, num_clips=7, test_mode=True),
    dict(type='vicmae_mm.VideoDecode'),
    dict(_base_.test_pipeline[3], input_format='NCHW'),  # PackViews
]

train_dataloader = dict(
    collate_fn=dict(type='pseudo_collate'), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
