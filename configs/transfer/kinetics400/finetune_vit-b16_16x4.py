# Table 1, 7 x 3 views: ViT-B/16 on clips of 16 frames, stride 4, by the recipe of PySlowFast's
# k400_VIT_B_16x4_FT (MAE-ST, the paper's [21]), whose ViT-B has 81.3 in Table 1.
# 128 videos a step = 8 GPUs x 16, in 2 clips each
_base_ = [
    '../../_base_/datasets/k400_clips_16x4.py',
    '../../_base_/models/video_vit-b16.py',
    '../../_base_/schedules/clips_slowfast_75e.py',
    '../../_base_/kinetics_runtime.py',
]

model = dict(cls_head=dict(dropout_ratio=0.3))
