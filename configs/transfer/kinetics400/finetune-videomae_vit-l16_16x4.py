# ViT-L/16: the recipe of VideoMAE's ViT-L, 35 epochs at a base lr of 2e-3.
# Short of memory: --cfg-options model.backbone.with_cp=True
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-l16.py',
    '../../_base_/schedules/clips_adamw_75e.py',
    '../../_base_/kinetics_runtime.py',
]

train_cfg = dict(max_epochs=35)
optim_wrapper = dict(optimizer=dict(lr=2e-3 * 128 / 256))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=30, eta_min_ratio=5e-4, by_epoch=True, begin=5, end=35,
         convert_to_iter_based=True),
]
