# Something-Something V2: 16 frames spread over the video, no flip (some labels distinguish left
# from right), 30 epochs and 2 x 3 views as VideoMAE's script for ViT-B with repeated augmentation.
_base_ = '../kinetics400/finetune-videomae_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=174)), cls_head=dict(num_classes=174))

train_pipeline = [
    _base_.open_video,
    dict(
        type='vicmae_mm.RepeatAug',
        num_repeats=2,
        sample_frames=dict(type='mmaction.UniformSample', clip_len=16),
        transforms=[  # no flip
            _base_.resize, _base_.rand_augment, *_base_.random_crop, _base_.random_erasing,
            *_base_.pack
        ]),
]
val_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=16, test_mode=True),
    _base_.decode,
    *_base_.center_crop,
    *_base_.pack,
]
test_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=16, num_clips=2, test_mode=True),
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

train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=25, eta_min_ratio=2e-3, by_epoch=True, begin=5, end=30,
         convert_to_iter_based=True),
]
