# Joint attention over 8 x 14 x 14 tubelets, mean over them, norm, dropout, linear classifier
# (MAE-ST, PySlowFast). A pre-trained image encoder is inflated as it is loaded.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='vicmae_mm.ViewsDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # those of pre-training
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
        # mixup 0.8 or cutmix 1.0 for every batch, evenly
        blending=dict(
            type='vicmae_mm.MixupCutmix', num_classes=400, mixup_alpha=0.8, cutmix_alpha=1.0)),
    backbone=dict(
        type='vicmae_mm.VideoViT',
        arch='b',
        img_size=224,
        patch_size=16,
        num_frames=16,
        tubelet_size=2,
        out_type='avg_featmap',  # or 'cls_token'
        drop_path_rate=0.1,
        with_cp=False,  # True saves memory for time: activation checkpointing
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vicmae_vit-b16_k400/epoch_800.pth',
            prefix='backbone.')),
    cls_head=dict(
        type='TimeSformerHead',
        num_classes=400,
        in_channels=768,
        init_std=2e-5,
        label_smooth_eps=0.1,
        average_clips='prob'))  # the softmax of every view, then their mean

# Test with less memory, the 21 views of a video in turns:
# --cfg-options model.test_cfg.max_testing_views=7
