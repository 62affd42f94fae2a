# Two distant frames of a video, each cropped and flipped on its own (paper section 4).
data_preprocessor = dict(
    type='vicmae_mm.PairDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=False,  # videos are decoded to RGB
    non_blocking=True)

train_pipeline = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='vicmae_mm.SampleFramePair', mode='distant', num_sections=2),
    dict(type='vicmae_mm.VideoDecode'),
    dict(
        type='vicmae_mm.PerFrame',
        transforms=[
            dict(
                type='mmpretrain.RandomResizedCrop',
                scale=224,
                crop_ratio_range=(0.5, 1.0),
                backend='pillow',
                interpolation='bicubic'),
            dict(type='mmpretrain.RandomFlip', prob=0.5),
        ]),
    dict(type='vicmae_mm.PackFrames', meta_keys=('filename', )),
]

train_dataloader = dict(
    batch_size=512,  # pairs a GPU: 8 GPUs x 512 = 4096
    num_workers=16,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,  # BatchNorm and the negatives want whole batches
    sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='vicmae_mm.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline))
