# A small ViC-MAE on the clips of tools/quickstart.py: minutes on two CPU cores.
# What differs from the paper does so because it sees 3000 times fewer pairs in training.
_base_ = ['../_base_/models/vicmae_toy.py', '../_base_/default_runtime.py']

# For tools/quickstart.py, as is ``start`` in other configs
title = 'ViC-MAE'
about = 'the method of the paper, on pairs of frames.'
allow_unknown = ['title', 'about', 'start']

model = dict(
    data_preprocessor=dict(
        type='vicmae_mm.PairDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=False))

# The paper's crop. No flip: a mirrored digit is another sign.
crop = dict(
    type='mmpretrain.RandomResizedCrop',
    scale=_base_.size,
    crop_ratio_range=(0.5, 1.0),
    interpolation='area')
pack = dict(type='vicmae_mm.PackFrames', meta_keys=('filename', ))
clips = dict(
    type='vicmae_mm.VideoPairDataset',
    data_root='work_dirs/quickstart',
    data_prefix=dict(video='clips'),
    pipeline=[
        dict(type='vicmae_mm.VideoInit'),
        dict(type='vicmae_mm.SampleFramePair', mode='distant'),
        dict(type='vicmae_mm.VideoDecode'),
        dict(type='vicmae_mm.PerFrame', transforms=[crop]),
        pack,
    ])

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=clips)

max_epochs = 60
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=max_epochs)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=max_epochs // 10,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=max_epochs // 10, end=max_epochs,
         convert_to_iter_based=True),
]

default_hooks = dict(
    logger=dict(interval=10),
    reconstruction=dict(interval=max_epochs),
    # on digits that tools/quickstart.py draws; with the level that the contrast compares
    probe=dict(interval=10, level='avg', max_images=600),
    # 0 for a quarter of the run in the paper; here from the start, every step is needed
    contrast_weight=dict(type='vicmae_mm.ContrastWeightHook', schedule='constant'))
