# ImageNet-1K, linear evaluation of ViT-S/16: Table 9, 4096 images = 8 GPUs x 512
# (v1 of the paper reports ViT-B only)
_base_ = [
    '../../_base_/datasets/imagenet_crops.py',
    '../../_base_/models/imagenet_linear_vit-s16.py',
    '../../_base_/schedules/imagenet_sgd_90e.py',
]

train_dataloader = dict(batch_size=512)
