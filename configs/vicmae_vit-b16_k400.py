# ViC-MAE, ViT-B/16, Kinetics-400: Table 7, 4096 pairs = 8 GPUs x 512
_base_ = [
    './_base_/datasets/k400_frame_pairs.py',
    './_base_/models/vicmae_vit-b16.py',
    './_base_/schedules/adamw_4096_800e.py',
]
