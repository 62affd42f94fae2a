# ViC-MAE as of ECCV 2024, ViT-B/16, IN1K, K710 and MiT: 4096 pairs = 8 GPUs x 512
_base_ = [
    './_base_/datasets/in1k-k710-mit_pairs.py',
    './_base_/models/vicmae-v3_vit-b16.py',
    './_base_/schedules/adamw_4096_800e_constant.py',
]
