# ViT-L/16 under the recipe of Table 7; v1 of the paper reports ViT-B only.
# 4096 pairs = 32 GPUs x 128, or fewer GPUs with --auto-scale-lr
_base_ = [
    './_base_/datasets/k400_frame_pairs.py',
    './_base_/models/vicmae_vit-l16.py',
    './_base_/schedules/adamw_4096_800e.py',
]

train_dataloader = dict(batch_size=128)
