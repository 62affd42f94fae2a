# Two distant frames of a video, each cropped and flipped on its own (paper section 4).
data_preprocessor = dict(
    type='vicmae_mm.PairDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=False,  # videos are decoded to RGB
    non_blocking=True)

# Each step has a name, by which other configs build a pipeline of their own.
# It keeps an index of each video: in a folder, with index_dir; nowhere, with index_dir=None.
open_video = [dict(type='vicmae_mm.VideoInit')]
sample_pair = dict(type='vicmae_mm.SampleFramePair', mode='distant', num_sections=2)
decode = dict(type='vicmae_mm.VideoDecode')
crop_and_flip = dict(
    type='vicmae_mm.RandomCropFlip',
    scale=224,
    crop_ratio_range=(0.5, 1.0),
    backend='torch',  # 'pillow' has the same filter, and is slower
    interpolation='bicubic',
    flip_prob=0.5)
pack = dict(type='vicmae_mm.PackFrames', meta_keys=('filename', ))
train_pipeline = [*open_video, sample_pair, decode, crop_and_flip, pack]

train_dataloader = dict(
    batch_size=512,  # pairs per GPU: 8 GPUs x 512 = 4096
    num_workers=16,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,  # BatchNorm and the negatives need complete batches
    sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='vicmae_mm.VideoPairDataset',
        data_root='data/kinetics400',
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline))
