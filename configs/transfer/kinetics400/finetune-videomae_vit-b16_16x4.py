# ViT-B/16 on clips of 16 frames, stride 4: the recipe of VideoMAE's ViT-B. 7 x 3 views.
# 128 videos a step = 8 GPUs x 16, in 2 clips each
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-b16.py',
    '../../_base_/schedules/clips_adamw_75e.py',
    '../../_base_/kinetics_runtime.py',
]
