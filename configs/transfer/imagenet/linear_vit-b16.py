# ImageNet-1K, linear evaluation of ViT-B/16: Table 9, 4096 images = 8 GPUs x 512
_base_ = [
    '../../_base_/datasets/imagenet_crops.py',
    '../../_base_/models/imagenet_linear_vit-b16.py',
    '../../_base_/schedules/imagenet_sgd_90e.py',
]

train_dataloader = dict(batch_size=512)
