# ImageNet-1K, all labels under the recipe of Table 10: Table 8 without RandAug, MixUp and CutMix
_base_ = [
    '../../_base_/datasets/imagenet_crops.py',
    '../../_base_/models/imagenet_vit-b16.py',
    '../../_base_/schedules/imagenet_adamw_100e.py',
]

model = dict(train_cfg=None)
