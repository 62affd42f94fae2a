# Kinetics-400 in clips of 16 frames, stride 4: fine-tuning's augmentation (mae_st, PySlowFast's
# k400_VIT_B_16x4_FT) and the paper's test of 7 temporal x 3 spatial views.
# Mixup and CutMix mix whole batches: they belong to the model's data_preprocessor.
# Each step has a name, by which other configs build a pipeline of their own.
open_video = dict(type='vicmae_mm.VideoInit')
decode = dict(type='vicmae_mm.VideoDecode')
resize = dict(type='mmaction.Resize', scale=(-1, 256))
rand_augment = dict(
    type='vicmae_mm.PerFrame',
    share_random_params=True,  # the same for all frames of a clip
    rgb_to_bgr=True,  # for Color and Contrast
    transforms=[  # rand-m7-n4-mstd0.5-inc1
        dict(
            type='RandAugment',
            _scope_='mmpretrain',  # also for the operations that it names
            policies='timm_increasing',
            num_policies=4,
            magnitude_level=7,
            magnitude_std=0.5,
            total_level=10,
            hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    ])
random_crop = [
    dict(
        type='mmaction.RandomResizedCrop',
        area_range=(0.08, 1.0),
        aspect_ratio_range=(0.75, 1.333)),
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
]
flip = dict(type='mmaction.Flip', flip_ratio=0.5)
random_erasing = dict(
    type='vicmae_mm.PerFrame',
    share_random_params=True,
    transforms=[
        dict(
            type='mmpretrain.RandomErasing',
            erase_prob=0.25,
            mode='rand',
            min_area_ratio=0.02,
            max_area_ratio=1 / 3,
            fill_color=[123.675, 116.28, 103.53],
            fill_std=[58.395, 57.12, 57.375]),
    ])
center_crop = [
    dict(type='mmaction.Resize', scale=(-1, 224)),
    dict(type='mmaction.CenterCrop', crop_size=224),
]
pack = [
    dict(type='mmaction.FormatShape', input_format='NCTHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('img_shape', 'filename')),
]
pack_views = dict(  # 3 crops along the longer side
    type='vicmae_mm.PackViews',
    transforms=[dict(type='mmaction.Resize', scale=(-1, 224))],
    crop_size=224,
    meta_keys=('img_shape', 'filename'))

train_pipeline = [
    open_video,
    dict(
        type='vicmae_mm.RepeatAug',
        num_repeats=2,
        sample_frames=dict(
            type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=1),
        transforms=[resize, rand_augment, *random_crop, flip, random_erasing, *pack]),
]

val_pipeline = [  # one clip and one crop, from the middle
    open_video,
    dict(
        type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=1, test_mode=True),
    decode,
    *center_crop,
    *pack,
]

test_pipeline = [  # 7 clips, each with 3 crops
    open_video,
    dict(
        type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=7, test_mode=True),
    decode,
    pack_views,
]

train_dataloader = dict(
    batch_size=16,  # videos per GPU, each in 2 clips: 8 GPUs x 16 x 2 = 256 clips per step
    num_workers=16,
    persistent_workers=True,
    sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='vicmae_mm.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline))

val_dataloader = dict(
    batch_size=16,
    num_workers=16,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vicmae_mm.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        test_mode=True,
        pipeline=val_pipeline))

test_dataloader = dict(
    val_dataloader,
    batch_size=1,  # 21 views
    num_workers=8,
    dataset=dict(val_dataloader['dataset'], pipeline=test_pipeline))

val_evaluator = dict(type='mmaction.AccMetric')
test_evaluator = val_evaluator
