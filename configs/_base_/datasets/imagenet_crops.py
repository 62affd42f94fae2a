# ImageNet-1K in class folders, data/imagenet/{train,val}/<wnid>/*.JPEG. Random crops and flips
# (Table 9); validation as in MAE: short side 256, centre 224. Own photos: any class folders.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=1000,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

# Each step has a name, by which other configs build a pipeline of their own.
load = dict(type='LoadImageFromFile')
random_crop = dict(
    type='RandomResizedCrop',
    scale=224,
    crop_ratio_range=(0.08, 1.0),
    backend='pillow',
    interpolation='bicubic')
random_flip = dict(type='RandomFlip', prob=0.5)
center_crop = [
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
]
pack = dict(type='PackInputs')
train_pipeline = [load, random_crop, random_flip, pack]
val_pipeline = [load, *center_crop, pack]

train_dataloader = dict(
    batch_size=128,
    num_workers=10,
    drop_last=True,
    sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='vicmae_mm.LabelledImages',
        data_root='data/imagenet',
        data_prefix='train',
        ann_file='',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=128,
    num_workers=10,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='vicmae_mm.LabelledImages',
        data_root='data/imagenet',
        data_prefix='val',
        ann_file='',  # meta/val.txt where val/ is flat
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
