# Something-Something V2: 16 frames spread over the video, no flip (some labels tell left from
# right), 30 epochs and 2 x 3 views as VideoMAE's ViT-B with repeated augmentation (its script).
_base_ = '../kinetics400/finetune_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=174)), cls_head=dict(num_classes=174))

train_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(
        type='vicmae_mm.RepeatAug',
        num_repeats=2,
        sample_frames=dict(type='mmaction.UniformSample', clip_len=16),
        transforms=[step for step in _base_.augmentation if step['type'] != 'mmaction.Flip']),
]
val_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='mmaction.UniformSample', clip_len=16, test_mode=True),
    *_base_.val_pipeline[2:],
]
test_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='mmaction.UniformSample', clip_len=16, num_clips=2, test_mode=True),
    *_base_.test_pipeline[2:],
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

train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=25, eta_min_ratio=2e-3, by_epoch=True, begin=5, end=30,
         convert_to_iter_based=True),
]
