# A linear classifier on the frozen encoder: mean over the patches, the pre-trained norm,
# BatchNorm without affine parameters. The paper reports this for images alone (Table 9).
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-b16.py',
    '../../_base_/schedules/clips_sgd_90e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(
    data_preprocessor=dict(blending=None),
    backbone=dict(frozen_stages=12, drop_path_rate=0.0),
    neck=dict(type='vicmae_mm.FeatureNorm', in_channels=768),
    cls_head=dict(init_std=0.01, label_smooth_eps=0.0))

train_pipeline = [  # one clip per video, only cropped and flipped
    _base_.open_video,
    dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=1),
    _base_.decode,
    dict(type='mmaction.RandomResizedCrop', area_range=(0.08, 1.0)),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    _base_.flip,
    *_base_.pack,
]
train_dataloader = dict(
    drop_last=True,  # BatchNorm cannot train on a last batch of one clip
    collate_fn=dict(type='pseudo_collate'), dataset=dict(pipeline=train_pipeline))
