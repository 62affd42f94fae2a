# ViC-MAE, ViT-B/16, Kinetics-400: Table 7, from packed frames (docs/data.md)
_base_ = [
    './_base_/datasets/k400_packed_frames.py',
    './_base_/models/vicmae_vit-b16.py',
    './_base_/schedules/adamw_4096_800e.py',
]
