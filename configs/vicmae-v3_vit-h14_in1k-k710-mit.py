# ViC-MAE as of ECCV 2024, ViT-H/14, IN1K, K710 and MiT: 4096 pairs = 64 GPUs x 64
_base_ = [
    './_base_/datasets/in1k-k710-mit_pairs.py',
    './_base_/models/vicmae-v3_vit-h14.py',
    './_base_/schedules/adamw_4096_800e_constant.py',
]

train_dataloader = dict(batch_size=64)
