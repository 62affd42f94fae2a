# ViT-S/16: the recipe for ViT-B, because PySlowFast and MAE-ST have none for ViT-S
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-s16.py',
    '../../_base_/schedules/clips_slowfast_75e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(cls_head=dict(dropout_ratio=0.3))
