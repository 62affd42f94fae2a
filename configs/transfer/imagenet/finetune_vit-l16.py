# ImageNet-1K, end-to-end fine-tuning of ViT-L/16: Table 8, 1024 images = 8 GPUs x 128
# (v1 of the paper reports ViT-B only)
_base_ = [
    '../../_base_/datasets/imagenet_randaug.py',
    '../../_base_/models/imagenet_vit-l16.py',
    '../../_base_/schedules/imagenet_adamw_100e.py',
]
