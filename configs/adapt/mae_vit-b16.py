# ViC-MAE on your own videos, from ViT-B/16 of MAE, ViC-MAE, DINO, or another with ImageNet's
# mean and std: set load_from=FILE, and data_prefix below
_base_ = [
    '../_base_/datasets/k400_frame_pairs.py',
    '../_base_/models/vicmae_vit-b16.py',
    '../_base_/schedules/adapt_adamw_1024_100e.py',
]

train_dataloader = dict(
    batch_size=128,  # pairs per GPU: 8 GPUs x 128 = 1024
    dataset=dict(data_root='', ann_file='', data_prefix=dict(video='data/videos')))
