# ViC-MAE, ViT-B/16, Moments in Time (Tables 1 and 3)
_base_ = [
    './_base_/datasets/mit_frame_pairs.py',
    './_base_/models/vicmae_vit-b16.py',
    './_base_/schedules/adamw_4096_800e.py',
]
