# The image encoder on each of 8 frames, their mean under one linear classifier: no attention
# between frames. Optimizer and schedule of fine-tuning on clips, augmentation of TSN.
_base_ = [
    '../../_base_/datasets/k400_segments_8.py',
    '../../_base_/schedules/clips_adamw_75e.py',
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
        out_type='featmap',  # the head takes the mean of the patches
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vicmae_vit-b16_k400/epoch_800.pth',
            prefix='backbone.')),
    cls_head=dict(
        type='vicmae_mm.MultiViewTSNHead',
        num_segments=8,
        num_classes=400,
        in_channels=768,
        label_smooth_eps=0.1,
        average_clips='prob'))  # the softmax of every view, then their mean
