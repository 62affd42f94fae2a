# V-JEPA's attentive probe as for image networks: a query attends to the patch tokens of all 8
# frames of a view, which are encoded one by one. 256 videos a step = 8 GPUs x 32; 7 x 3 views
_base_ = [
    '../../_base_/datasets/k400_segments_8.py',
    '../../_base_/schedules/attentive_adamw_20e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='vicmae_mm.ViewsDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375]),
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='b',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        frozen_stages=12,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vicmae_vit-b16_k400/epoch_800.pth',
            prefix='backbone.')),
    cls_head=dict(
        type='vicmae_mm.AttentiveHead',
        num_classes=400,
        in_channels=768,
        num_heads=12,
        num_clips=8,  # frames of a view
        average_clips='prob'))

train_pipeline = [
    _base_.open_video,
    dict(type='mmaction.UniformSample', clip_len=8),
    _base_.decode,
    *_base_.random_crop,
    _base_.flip,
    *_base_.pack,
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
