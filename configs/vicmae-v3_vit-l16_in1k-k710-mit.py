# ViC-MAE as of ECCV 2024, ViT-L/16, IN1K, K710 and MiT: 4096 pairs = 32 GPUs x 128
_base_ = [
    './_base_/datasets/in1k-k710-mit_pairs.py',
    './_base_/models/vicmae-v3_vit-l16.py',
    './_base_/schedules/adamw_4096_800e_constant.py',
]

train_dataloader = dict(batch_size=128)
