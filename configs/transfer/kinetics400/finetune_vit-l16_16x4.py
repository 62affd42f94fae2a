# ViT-L/16: the recipe of PySlowFast's k400_VIT_L_16x4_FT (MAE-ST), 50 epochs.
# Short of memory: --cfg-options model.backbone.with_cp=True
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-l16.py',
    '../../_base_/schedules/clips_slowfast_75e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(backbone=dict(drop_path_rate=0.2), cls_head=dict(dropout_ratio=0.3))

train_cfg = dict(max_epochs=50)
optim_wrapper = dict(
    optimizer=dict(lr=3e-4 * 128 / 16), paramwise_cfg=dict(layer_decay_rate=0.75))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=45, eta_min_ratio=1e-5 / 3e-4, by_epoch=True, begin=5,
         end=50, convert_to_iter_based=True),
]
