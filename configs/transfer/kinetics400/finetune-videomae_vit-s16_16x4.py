# ViT-S/16: the recipe of VideoMAE's ViT-S, 150 epochs
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-s16.py',
    '../../_base_/schedules/clips_adamw_75e.py',
    '../../_base_/kinetics_runtime.py',
]

train_cfg = dict(max_epochs=150)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=145, eta_min_ratio=2e-3, by_epoch=True, begin=5, end=150,
         convert_to_iter_based=True),
]
