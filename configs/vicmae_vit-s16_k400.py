# ViT-S/16 under the recipe of Table 7; v1 of the paper reports ViT-B only.
_base_ = [
    './_base_/datasets/k400_frame_pairs.py',
    './_base_/models/vicmae_vit-s16.py',
    './_base_/schedules/adamw_4096_800e.py',
]
