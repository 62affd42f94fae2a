# The recipe of the authors' later public code, ViT-B/16: 4096 pairs = 8 GPUs x 512. (They
# accumulate 4 x 1024, with negatives among 1024: docs/decisions.md, row 13.)
_base_ = [
    './_base_/datasets/in1k-k400_pairs_official.py',
    './_base_/models/vicmae-official_vit-b16.py',
    './_base_/schedules/adamw_4096_800e_constant.py',
]
