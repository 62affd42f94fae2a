# Contrast alone on clip pairs, with a 3-D backbone of mmaction2: the SlowOnly-R50 of its
# slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb.py
_base_ = [
    './_base_/datasets/k400_clip_pairs.py',
    './_base_/schedules/adamw_4096_800e.py',
]

model = dict(
    type='vicmae_mm.ViCMAE',
    backbone=dict(
        type='mmaction.ResNet3dSlowOnly',
        depth=50,
        pretrained=None,
        lateral=False,
        conv1_kernel=(1, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(0, 0, 1, 1),
        norm_eval=False),
    pooling=dict(type='mmpretrain.GlobalAveragePooling', dim=3),
    projector=dict(type='vicmae_mm.Projector', in_channels=2048),
    contrast_head=dict(type='vicmae_mm.InfoNCEHead', temperature=0.1),
    contrast_weight=1.0)

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 256 / 256))  # base lr x batch size / 256
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(contrast_weight=dict(schedule='constant'))
