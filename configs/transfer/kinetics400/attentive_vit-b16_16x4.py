# Kinetics-400, V-JEPA's attentive probe in 16 x 8 x 3: a query attends to all tokens of 8 clips,
# which the frozen encoder sees one by one; 3 crops. 256 videos a step = 8 GPUs x 32
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-b16.py',
    '../../_base_/schedules/attentive_adamw_20e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(
    data_preprocessor=dict(blending=None),
    backbone=dict(out_type='featmap', frozen_stages=12, drop_path_rate=0.0),
    cls_head=dict(
        _delete_=True,
        type='vicmae_mm.AttentiveHead',
        num_classes=400,
        in_channels=768,
        num_heads=12,
        num_clips=8,  # as in the three pipelines
        average_clips='prob'))  # the softmax of every crop, then their mean

sample_clips = dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=8)
train_pipeline = [  # a clip from each eighth of the video, cropped and flipped by itself
    _base_.open_video,
    sample_clips,
    _base_.decode,
    dict(type='vicmae_mm.PerClip', transforms=[*_base_.random_crop, _base_.flip]),
    *_base_.pack,
]
val_pipeline = [  # 8 clips, one crop
    _base_.open_video,
    dict(sample_clips, test_mode=True),
    _base_.decode,
    *_base_.center_crop,
    *_base_.pack,
]
test_pipeline = [  # 8 clips, 3 crops
    _base_.open_video,
    dict(sample_clips, test_mode=True),
    _base_.decode,
    _base_.pack_views,
]

train_dataloader = dict(
    batch_size=32,
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
