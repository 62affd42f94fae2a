# Something-Something V2, V-JEPA's attentive probe in 16 x 2 x 3. No flip, as in its public code:
# some labels distinguish left from right.
_base_ = '../kinetics400/attentive_vit-b16_16x4.py'

model = dict(cls_head=dict(num_classes=174, num_clips=2))

sample_clips = dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=2)
train_pipeline = [
    _base_.open_video,
    sample_clips,
    _base_.decode,
    dict(type='vicmae_mm.PerClip', transforms=_base_.random_crop),
    *_base_.pack,
]
val_pipeline = [
    _base_.open_video,
    dict(sample_clips, test_mode=True),
    _base_.decode,
    *_base_.center_crop,
    *_base_.pack,
]
test_pipeline = [
    _base_.open_video,
    dict(sample_clips, test_mode=True),
    _base_.decode,
    _base_.pack_views,
]

train_dataloader = dict(
    dataset=dict(
        data_root='data/sthv2',
        ann_file='sthv2_train_list_videos.txt',
        data_prefix=dict(video='videos'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        data_root='data/sthv2',
        ann_file='sthv2_val_list_videos.txt',
        data_prefix=dict(video='videos'),
        pipeline=val_pipeline))
test_dataloader = dict(
    dataset=dict(
        data_root='data/sthv2',
        ann_file='sthv2_val_list_videos.txt',
        data_prefix=dict(video='videos'),
        pipeline=test_pipeline))
